"""Contact prediction: which residues touch, predicted from attention maps (Rao et al. 2020, bioRxiv
2020.12.15.422761).
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.block import PreNormBlock
from biofm.nn.config import EncoderConfig
from biofm.nn.encoder import Encoder
from biofm.nn.packing import PackedBatch

MAP_BYTES = 256 << 20  # Memory for attention maps; as many heads as fit are computed at once.

Heads = Float[Tensor, "tokens heads head_dim"]


class ContactHead(nn.Module):
    """Predicts for every pair of residues the probability that they touch: sigmoid(w · apc(a + aᵀ) + b).

    Here a are the attention maps of all heads of all layers, without <cls> and <eos>. apc(s) = s - r rᵀ / t
    is the average product correction (Dunn et al. 2008), where r are the row sums of s and t is the sum of
    all its entries. Each map is corrected, weighted and added as soon as it is computed, so that no map stays
    in memory.

    Args:
        config: The configuration of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.map_weights_shape = (config.n_layers, config.n_heads)
        self.regression = nn.Linear(config.n_layers * config.n_heads, 1)

    def forward(self, encoder: Encoder, batch: PackedBatch) -> list[Float[Tensor, "_ _"]]:
        """Return for each sequence the matrix of the probabilities that two residues touch.

        The matrices are in float32 and exactly symmetric.

        Args:
            encoder: The encoder whose attention maps are used.
            batch: Sequences with <cls> and <eos>.
        """
        lengths = batch.lengths.tolist()
        halves = [batch.positions.new_zeros(n - 2, n - 2, dtype=torch.float32) for n in lengths]
        weights = self.regression.weight.float().view(self.map_weights_shape)
        for layer_weights, (q, k) in zip(weights, queries_and_keys(encoder, batch), strict=True):
            for half, q_of_one, k_of_one in zip(halves, q.split(lengths), k.split(lengths), strict=True):
                _add_layer(half, layer_weights, q_of_one, k_of_one)
        touch = [torch.sigmoid(half + half.T + self.regression.bias.float()) for half in halves]
        # The sigmoid may round the same number differently in the middle and at the end of a row.
        return [(one + one.T) / 2 for one in touch]


def attention_maps(q: Heads, k: Heads) -> Iterator[Float[Tensor, "some_heads length length"]]:
    """Yield softmax(q kᵀ / √head_dim) of one sequence in float32, some heads at a time, in the heads' order.

    The attention kernels do not return these maps.

    Args:
        q: The queries of the sequence, normalised and rotated.
        k: The keys of the sequence, normalised and rotated.
    """
    length, _, d_head = q.shape
    n_at_once = max(1, MAP_BYTES // (4 * length**2))
    q, k = q.float().transpose(0, 1) / d_head**0.5, k.float().transpose(0, 1)  # (heads, length, head_dim)
    for some_q, some_k in zip(q.split(n_at_once), k.split(n_at_once), strict=True):
        yield (some_q @ some_k.mT).softmax(-1)


def queries_and_keys(encoder: Encoder, batch: PackedBatch) -> Iterator[tuple[Heads, Heads]]:
    """Yield the queries and keys of each layer as its attention uses them, in the layers' order.

    Args:
        encoder: A pre-norm encoder that is not causal.
        batch: The sequences.
    """
    assert not encoder.config.causal, (
        "contacts need attention both ways, and a causal encoder only looks back"
    )
    angles = encoder.rotary(batch.positions, batch.end)
    x = encoder.embedding(batch)
    for block in encoder.blocks:
        assert isinstance(block, PreNormBlock), "no contact head was ever trained on a post-norm encoder"
        yield block.attention.queries_and_keys(block.attention_norm(x), angles)
        x = block(x, batch, angles)


def _add_layer(half: Tensor, weights: Tensor, q: Tensor, k: Tensor) -> None:
    """Add one layer's maps of one sequence to ``half``. ``half`` plus its transpose is the whole weighted
    sum.
    """
    first = 0
    for maps in attention_maps(q, k):
        some_weights = weights[first : first + len(maps)]
        first += len(maps)
        half += torch.einsum("h,hij->ij", some_weights, maps)[1:-1, 1:-1]
        residues = maps[:, 1:-1, 1:-1]
        sums = residues.sum(-1) + residues.sum(-2)  # r of a + aᵀ, (heads, residues)
        # If a head attends only to <cls> and <eos>, r and t are 0, and r / t must be 0 too.
        shares = sums / sums.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        half -= (shares * (some_weights / 2)[:, None]).T @ sums
