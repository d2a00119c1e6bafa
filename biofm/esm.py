"""ESM C client: the class ``ESMC`` of the package ``esm`` is here on biofm's encoder.

A script changes one line, its import:

    from biofm.esm import ESMC  # was: from esm.models.esmc import ESMC
    from esm.sdk.api import ESMProtein, LogitsConfig

    client = ESMC.from_pretrained("esmc_300m")
    tensor = client.encode(ESMProtein(sequence="MKTAYIAKQR"))
    output = client.logits(tensor, LogitsConfig(sequence=True, return_embeddings=True))

Proteins, options, answers and the tokenizer are classes of the package itself. The client replaces the class
of this name in esm 3.2, and in esm 3.4, which keeps it for older scripts.
"""

from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from biofm.api import load
from biofm.core.errors import InputError, MissingExtraError, ModelError
from biofm.inference import Compute, choose_compute, place
from biofm.models import Checkpoint
from biofm.nn import PackedBatch, attention_maps, queries_and_keys

try:
    # The order matters: esm.utils.sampling cannot be imported first.
    from esm.models import esmc
    from esm.models.esmc import ESMCOutput
    from esm.sdk.api import (
        ESMCInferenceClient,
        ESMProtein,
        ESMProteinTensor,
        ForwardTrackData,
        LogitsConfig,
        LogitsOutput,
    )
    from esm.tokenization import get_esmc_model_tokenizers
    from esm.utils.decoding import decode_sequence
    from esm.utils.encoding import tokenize_sequence
    from esm.utils.misc import stack_variable_length_tensors
    from esm.utils.sampling import _BatchedESMProteinTensor
except ModuleNotFoundError as error:
    raise MissingExtraError(
        f"the package esm cannot be imported ({error})",
        where="biofm.esm",
        remedy="In the checkout of biofm, run pip install '.[esm]' in an environment without fair-esm, which "
        "has the same name",
    ) from error

FAMILY = "ESM C"
TOKENIZER = getattr(esmc, "EsmcTokenizer", get_esmc_model_tokenizers)  # the first since esm 3.4
ALIASES = {"esmc_300m": "esmc-300m", "esmc_600m": "esmc-600m", "esmc_6b": "esmc-6b"}


class ESMC(ESMCInferenceClient):  # type: ignore[misc]  # esm is not installed where mypy runs
    """Does what ``esm.models.esmc.ESMC`` does for inference, with its shapes, dtypes and numbers.

    Three things differ on purpose. Batches are packed, so that padding costs nothing, changes nothing and is
    zero in the results. ``decode`` takes what ``encode`` returns. ``_`` in a sequence is the mask, as in
    every other client of the package; the ESMC of esm 3.4 reads it as <unk>. The class is no
    ``torch.nn.Module``: it has no parameters to train. Loading asks the gate; later calls work on tensors
    only and do not ask.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str) -> None:
        self.tokenizer = TOKENIZER()
        self._checkpoint = checkpoint
        self._module = place(checkpoint.module, _compute_on(device))

    @classmethod
    def from_pretrained(
        cls,
        model_name: str | Path = "esmc_600m",
        device: torch.device | str | None = None,
        use_flash_attn: bool = True,
    ) -> Self:
        """Load an ESM C.

        Args:
            model_name: The name that esm or biofm has for it, a path or a hub id.
            device: The device; None takes a GPU if there is one, else the CPU.
            use_flash_attn: Has no effect, because biofm chooses its kernels itself.

        Raises:
            ModelError: The model cannot be loaded, or is no ESM C.
            OptionError: There is no such device.
        """
        checkpoint = load(ALIASES.get(str(model_name), model_name), device="cpu", dtype="float32").checkpoint
        if checkpoint.family != FAMILY:
            what = f"this is a model of the family {checkpoint.family}, not {FAMILY}"
            raise ModelError(what, where=str(model_name), remedy=f"Give one of {', '.join(ALIASES)}")
        if checkpoint.module.head is None:
            what = "the checkpoint has no language-model head, which computes the logits"
            raise ModelError(what, where=str(model_name), remedy="Use the checkpoint with its head")
        return cls(checkpoint, device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def to(self, device: torch.device | str) -> Self:
        """Move the model to a device: in float32 to a CPU, in bfloat16 elsewhere, as esm decides.

        Raises:
            OptionError: There is no such device.
        """
        compute = _compute_on(device)
        if torch.empty(0, device=compute.device).device != self.device:
            self._module = place(self._checkpoint.module, compute)
        return self

    @property
    def device(self) -> torch.device:
        return next(self._module.parameters()).device

    def eval(self) -> Self:
        """Return the client unchanged: it is always in evaluation mode."""
        return self

    @property
    def raw_model(self) -> Self:
        return self

    def encode(self, input: ESMProtein) -> ESMProteinTensor:
        """Return the tokens of a sequence; ``_`` and ``<mask>`` are the mask, ``|`` divides chains."""
        tokens = None if input.sequence is None else self._tokenize([input.sequence])[0]
        return ESMProteinTensor(
            sequence=tokens, potential_sequence_of_concern=input.potential_sequence_of_concern
        )

    def decode(self, input: ESMProteinTensor) -> ESMProtein:
        """Return the sequence of one protein's tokens.

        Raises:
            InputError: There are no tokens, or tokens of several proteins.
        """
        tokens = input.sequence
        if tokens is None or (tokens.ndim > 1 and len(tokens) != 1):
            what = "this does not hold the tokens of one protein"
            raise InputError(what, remedy="Decode the rows of a batch one by one")
        return ESMProtein(sequence=self._detokenize(tokens.reshape(1, -1))[0])

    def logits(
        self, input: ESMProteinTensor | _BatchedESMProteinTensor, config: LogitsConfig | None = None
    ) -> LogitsOutput:
        """Compute what ``config`` asks for, for one protein or a padded batch of proteins.

        ``ith_hidden_layer`` is the layer's place in the stack that ``forward`` returns; -1 means all layers.

        Raises:
            InputError: The tokens are no batch of tokens, as in ``forward``.
        """
        config = config or LogitsConfig()
        if not isinstance(input, _BatchedESMProteinTensor):
            input = _BatchedESMProteinTensor.from_protein_tensor(input)
        layers = slice(0)
        if config.return_hidden_states:
            i = config.ith_hidden_layer
            layers = slice(None) if i == -1 else slice(i, i + 1)
        output, _ = self._run(input.sequence, None, layers)
        return LogitsOutput(
            logits=ForwardTrackData(sequence=output.sequence_logits if config.sequence else None),
            embeddings=output.embeddings if config.return_embeddings else None,
            hidden_states=output.hidden_states if config.return_hidden_states else None,
        )

    def forward(
        self,
        sequence_tokens: Tensor | None = None,
        sequence_id: Tensor | None = None,
        output_attentions: bool | None = None,
        *,
        input_ids: Tensor | None = None,
    ) -> ESMCOutput:
        """Compute the logits, the embeddings and the output of every block for a padded batch of tokens.

        The embeddings are the output of the last block after the final norm.

        Args:
            sequence_tokens: The tokens, (batch, length).
            sequence_id: Says which tokens are no padding, by default all but <pad>; or, in whole numbers, to
                which chain each token belongs. A token attends only to its own chain; a negative number is
                padding.
            output_attentions: Whether to add ``attentions``: for each layer the attention of its heads,
                (batch, heads, length, length), whose rows sum to one, or are zero for padding.
            input_ids: The tokens by the name that newer versions of esm use.

        Raises:
            InputError: The tokens are no batch of tokens or are given twice, or ``sequence_id`` does not fit.
        """
        if sequence_tokens is not None and input_ids is not None:
            what = "sequence_tokens and input_ids are two names of the same tokens"
            raise InputError(what, remedy="Give one of them")
        tokens = sequence_tokens if input_ids is None else input_ids
        output, (batch, places) = self._run(tokens, sequence_id, slice(None))
        shape = output.embeddings.shape[:2]
        output.attentions = self._attentions(batch, places, shape) if output_attentions else None
        return output

    __call__ = forward

    @torch.no_grad()
    def _run(
        self, tokens: Tensor | None, sequence_id: Tensor | None, layers: slice
    ) -> tuple[ESMCOutput, tuple[PackedBatch, Tensor]]:
        """Run the model, keep the outputs of the blocks ``layers`` only, and return the batch too."""
        tokens, chains = self._checked(tokens, sequence_id)
        batch, places = _pack(tokens, chains)
        encoder, shape = self._module.encoder, tokens.shape
        kept = range(self._module.config.n_layers)[layers]
        hidden = encoder.embedding.tokens.weight.new_zeros(len(kept), *shape, self._module.config.d_model)
        for i, state in enumerate(encoder.states(batch)):
            if i in kept:
                hidden[i - kept.start].flatten(0, 1)[places] = state
        last = encoder.norm(state)
        output = ESMCOutput(
            sequence_logits=_unpack(self._module.logits(last), places, shape),
            embeddings=_unpack(last.float(), places, shape),  # the original returns float32, too
            hidden_states=hidden,
        )
        return output, (batch, places)

    @torch.no_grad()
    def _attentions(self, batch: PackedBatch, places: Tensor, shape: torch.Size) -> tuple[Tensor, ...]:
        """Compute the attention maps of each layer, (batch, heads, length, length)."""
        n_rows, length = shape
        sizes = batch.lengths.tolist()
        layers = []
        for q, k in queries_and_keys(self._module.encoder, batch):
            maps = q.new_zeros(n_rows, q.shape[1], length, length)
            for of_one, some_q, some_k in zip(
                places.split(sizes), q.split(sizes), k.split(sizes), strict=True
            ):
                row, columns = int(of_one[0]) // length, of_one % length
                maps[row][:, columns[:, None], columns] = torch.cat(list(attention_maps(some_q, some_k)))
            layers.append(maps)
        return tuple(layers)

    def _checked(self, tokens: Tensor | None, sequence_id: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the tokens and the chain of each on the model's device, or raise InputError."""
        n_tokens = self._module.config.vocab_size
        remedy = "Give what encode returns, or a batch of it padded with <pad>"
        if tokens is None or tokens.ndim != 2 or tokens.is_floating_point():
            found = "none" if tokens is None else f"{tokens.dtype} of shape {list(tokens.shape)}"
            raise InputError(f"tokens are whole numbers of shape (batch, length), not {found}", remedy=remedy)
        chains = tokens != self.tokenizer.pad_token_id if sequence_id is None else sequence_id
        if chains.is_floating_point() or chains.is_complex() or chains.shape != tokens.shape:
            found = f"{chains.dtype} of shape {list(chains.shape)}"
            what = f"for each token, sequence_id must hold a bool or the number of its chain, not {found}"
            raise InputError(what, remedy="Leave it out: then <pad> tokens are padding")
        if chains.dtype == torch.bool:
            chains = chains.long() - 1
        if not (chains >= 0).any():
            raise InputError("all tokens are padding", remedy=remedy)
        if not 0 <= int(tokens.min()) <= int(tokens.max()) < n_tokens:
            raise InputError(f"a token is not a number from 0 to {n_tokens - 1}", remedy=remedy)
        return tokens.to(self.device), chains.to(self.device)

    def _tokenize(self, sequence: list[str]) -> Tensor:
        """Make a padded batch of tokens; private in the original too, but scripts make batches with it."""
        tokens = [tokenize_sequence(one, self.tokenizer) for one in sequence]
        batch: Tensor = stack_variable_length_tensors(tokens, self.tokenizer.pad_token_id)
        return batch.to(self.device)

    def _detokenize(self, sequence: Tensor) -> list[str]:
        """Return the sequences of a padded batch of tokens."""
        pad = self.tokenizer.pad_token_id
        return [decode_sequence(tokens[tokens != pad], self.tokenizer) for tokens in sequence]


def _compute_on(device: torch.device | str) -> Compute:
    return choose_compute(str(device), "float32" if str(device) == "cpu" else "bfloat16")


def _pack(
    tokens: Int[Tensor, "batch length"], chains: Int[Tensor, "batch length"]
) -> tuple[PackedBatch, Int[Tensor, " tokens"]]:
    """Pack each chain of each row as a sequence, and return the tokens' places in the flattened rows.

    A token's position is its place in the row.
    """
    length = tokens.shape[1]
    places = (chains.flatten() >= 0).nonzero().squeeze(1)
    names, numbers = chains.unique(return_inverse=True)
    sequences = places // length * len(names) + numbers.flatten()[places]
    sequences, order = sequences.sort(stable=True)
    places = places[order]
    sizes = sequences.unique_consecutive(return_counts=True)[1]
    cu_seqlens = F.pad(sizes.cumsum(0, dtype=torch.int32), (1, 0))
    batch = PackedBatch(tokens.flatten()[places], places % length, cu_seqlens, int(sizes.max()), length)
    return batch.to(tokens.device), places


def _unpack(
    rows: Float[Tensor, "tokens d"], places: Int[Tensor, " tokens"], shape: torch.Size
) -> Float[Tensor, "batch length d"]:
    """Return the rows in the padded shape, with zeros at the places of padding."""
    padded = rows.new_zeros(shape.numel(), rows.shape[-1])
    padded[places] = rows
    return padded.view(*shape, -1)
