"""Times ESM-2 650M from end to end: biofm, packed, beside ``transformers``, padded; with random weights.

In the forward pass the weights are in bfloat16. A training step is the masked-token loss of 15 % of the
tokens in bfloat16 by autocast, its gradients, and AdamW on weights in float32. A speed counts real tokens,
without padding.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from biofm_kernels import backend
from torch import Tensor, nn
from torch.nn import functional as F
from workloads import Pass, relative_error

from biofm.nn import EncoderConfig, MaskedLM, pack

N_TOKENS, MASK, PADDING, FIRST_RESIDUE, LAST_RESIDUE = 33, 32, 1, 4, 24
MASKED_SHARE = 0.15
N_PADDED_AT_ONCE = 8  # Few enough to fit in memory when padded, enough to keep a GPU busy.

Hidden = list[Tensor]  # For each sequence (tokens, d_model).


class Shape(NamedTuple):
    """Holds the size of an encoder."""

    n_layers: int
    d_model: int
    n_heads: int

    def flops(self, lengths: tuple[int, ...], which: Pass) -> float:
        """Count the operations of projections and attention; training takes three times as many."""
        linear = 24.0 * self.d_model**2 * sum(lengths)
        mixing = 4.0 * self.d_model * sum(length**2 for length in lengths)
        return self.n_layers * (linear + mixing) * (1 if which == "forward" else 3)


class Proteins:
    """Holds random residues of the given lengths, some of which are to be predicted."""

    def __init__(self, lengths: tuple[int, ...], device: torch.device) -> None:
        torch.manual_seed(0)
        self.targets = [torch.randint(FIRST_RESIDUE, LAST_RESIDUE, (length,)) for length in lengths]
        self.masked = [torch.rand(length) < MASKED_SHARE for length in lengths]
        pairs = zip(self.targets, self.masked, strict=True)
        self.tokens = [target.masked_fill(masked, MASK) for target, masked in pairs]
        self.n_masked = sum(int(masked.sum()) for masked in self.masked)
        self.device = device


class Packed:
    """Runs biofm on packed sequences."""

    def __init__(self, shape: Shape, proteins: Proteins, kernels: str) -> None:
        config = EncoderConfig(
            vocab_size=N_TOKENS, d_model=shape.d_model, n_layers=shape.n_layers, n_heads=shape.n_heads,
            d_feedforward=4 * shape.d_model, trained_length=1026, mask_token=MASK,
        )  # fmt: skip
        with torch.device(proteins.device):
            self.model = MaskedLM(config)
        self.model.to(proteins.device)
        self.kernels, self.proteins = kernels, proteins
        self.batch = pack(proteins.tokens).to(proteins.device)
        self.rows = torch.cat(proteins.masked).nonzero()[:, 0].to(proteins.device)
        self.targets = torch.cat(proteins.targets).to(proteins.device)[self.rows]

    def forward(self) -> None:
        """Encode all proteins once."""
        with backend(self.kernels):
            self.model.encoder(self.batch)

    def hidden(self, n: int, kernels: str | None = None) -> Hidden:
        """Compute the last hidden states of the first ``n`` proteins."""
        with backend(kernels or self.kernels):
            hidden = self.model.encoder(pack(self.proteins.tokens[:n]).to(self.proteins.device))
        return list(hidden.split([len(tokens) for tokens in self.proteins.tokens[:n]]))

    def exact(self, n: int) -> Hidden:
        """Compute the same by the reference."""
        return self.hidden(n, "reference")

    def losses(self) -> Iterator[Tensor]:
        """Yield the loss of all proteins."""
        with backend(self.kernels):
            hidden = self.model.encoder(self.batch)
            yield F.cross_entropy(self.model.logits(hidden[self.rows]).float(), self.targets)


class Padded:
    """Runs ``transformers`` on padded sequences, some at a time; their gradients add up."""

    def __init__(self, shape: Shape, proteins: Proteins, by_length: bool) -> None:
        from transformers import EsmConfig, EsmForMaskedLM

        config = EsmConfig(
            vocab_size=N_TOKENS, mask_token_id=MASK, pad_token_id=PADDING, hidden_size=shape.d_model,
            num_hidden_layers=shape.n_layers, num_attention_heads=shape.n_heads,
            intermediate_size=4 * shape.d_model, max_position_embeddings=1026,
            position_embedding_type="rotary", token_dropout=True, emb_layer_norm_before=False,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, layer_norm_eps=1e-5,
            attn_implementation="sdpa",
        )  # fmt: skip
        with torch.device(proteins.device):
            self.model = EsmForMaskedLM(config)
        self.proteins = proteins
        order = list(range(len(proteins.tokens)))
        if by_length:
            order.sort(key=lambda number: len(proteins.tokens[number]))
        starts = range(0, len(order), N_PADDED_AT_ONCE)
        self.batches = [self._pad(order[start : start + N_PADDED_AT_ONCE]) for start in starts]

    def _pad(self, numbers: list[int]) -> dict[str, Tensor]:
        """Make a padded batch of some proteins."""
        proteins = self.proteins
        labels = [proteins.targets[i].masked_fill(~proteins.masked[i], -100) for i in numbers]
        padded = {
            "input_ids": _padded([proteins.tokens[i] for i in numbers], PADDING),
            "attention_mask": _padded([torch.ones_like(proteins.tokens[i]) for i in numbers], 0),
            "labels": _padded(labels, -100),
        }
        return {name: value.to(proteins.device) for name, value in padded.items()}

    def forward(self) -> None:
        """Encode all proteins once."""
        for batch in self.batches:
            self._encode(batch)

    def _encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute the last hidden states of a batch."""
        hidden: Tensor = self.model.esm(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        return hidden

    def hidden(self, n: int) -> Hidden:
        """Compute the last hidden states of the first ``n`` proteins."""
        hidden = self._encode(self._pad(list(range(n))))
        return [row[: len(tokens)] for row, tokens in zip(hidden, self.proteins.tokens[:n], strict=True)]

    exact = hidden

    def losses(self) -> Iterator[Tensor]:
        """Yield the loss of each batch. They sum to the mean over all masked tokens."""
        for batch in self.batches:
            logits = self.model(batch["input_ids"], batch["attention_mask"]).logits
            total = F.cross_entropy(logits.flatten(0, 1).float(), batch["labels"].flatten(), reduction="sum")
            yield total / self.proteins.n_masked


def _padded(rows: list[Tensor], value: int) -> Tensor:
    """Pad rows to the longest."""
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


Contender = Packed | Padded
CONTENDERS: dict[str, Callable[[Shape, Proteins], Contender]] = {
    "biofm, packed": lambda shape, proteins: Packed(shape, proteins, "triton"),
    "biofm, packed, varlen_attn": lambda shape, proteins: Packed(shape, proteins, "varlen"),
    "transformers, padded, in order": lambda shape, proteins: Padded(shape, proteins, by_length=False),
    "transformers, padded, by length": lambda shape, proteins: Padded(shape, proteins, by_length=True),
}


def work_of(contender: Contender, which: Pass) -> Callable[[], None]:
    """Make the function that is timed: one forward pass, or one training step, over all proteins."""
    if which == "forward":
        contender.model.bfloat16().eval()
        return torch.no_grad()(contender.forward)
    contender.model.train()
    optimizer = torch.optim.AdamW(contender.model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        losses = contender.losses()
        while (loss := _next_in_bfloat16(losses, contender.proteins.device)) is not None:
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _next_in_bfloat16(losses: Iterator[Tensor], device: torch.device) -> Tensor | None:
    """Compute the next loss under autocast; None when all are done."""
    with torch.autocast(device.type, torch.bfloat16):
        return next(losses, None)


@torch.no_grad()
def error_of(contender: Contender, n_sequences: int = 2) -> float:
    """Measure the error of hidden states in bfloat16 against the same weights in float64.

    The model stays in float64.
    """
    contender.model.bfloat16()
    found = contender.hidden(n_sequences)
    contender.model.double()
    return relative_error(found, contender.exact(n_sequences))
