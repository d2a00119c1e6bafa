"""The encoder that all models share: it reads packed tokens and returns one vector for each."""

from collections.abc import Iterator

from biofm_kernels import segment_mean
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.block import PostNormBlock, PreNormBlock, layer_norm
from biofm.nn.config import EncoderConfig
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import NoRotaryAngles, RotaryAngles

BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock}
# 15 % of residues are chosen and 80 % of those masked, in every ESM training run.
MASKED_IN_TRAINING = 0.15 * 0.8


class Encoder(nn.Module):
    """Computes norm(block_n(... block_1(embedding(tokens)))). The configuration chooses each part.

    Args:
        config: The shape and the parts of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.rotary = RotaryAngles(config.d_head) if config.positions == "rotary" else NoRotaryAngles()
        self.blocks = nn.ModuleList(BLOCKS[config.norm_order](config) for _ in range(config.n_layers))
        self.norm = layer_norm(config) if config.final_norm else nn.Identity()

    def forward(
        self, batch: PackedBatch, layer: int | None = None, rows: Rows | None = None
    ) -> Float[Tensor, "rows d_model"]:
        """Return the hidden state after a layer. Layers behind it are not computed.

        Args:
            batch: The sequences.
            layer: The number of the layer: 0 is the embedding; n_layers, or None, is the last layer with the
                final norm.
            rows: The tokens whose vectors are returned; None for all. For the other tokens the last layer
                computes only what these attend to.
        """
        layer = len(self.blocks) if layer is None else layer
        assert 0 <= layer <= len(self.blocks), f"layer {layer} of {len(self.blocks)}"
        angles = self.rotary(batch.positions, batch.end)
        x: Tensor = self.embedding(batch)
        for block in self.blocks[: max(0, layer - 1)]:
            x = block(x, batch, angles)
        if layer > 0:
            x = self.blocks[layer - 1](x, batch, angles, rows)
        elif rows is not None:
            x = x[rows.indices]
        return self.norm(x) if layer == len(self.blocks) else x

    def states(self, batch: PackedBatch) -> Iterator[Float[Tensor, "tokens d_model"]]:
        """Yield the residual stream after each block, in order and without the final norm.

        Args:
            batch: The sequences.
        """
        angles = self.rotary(batch.positions, batch.end)
        x: Tensor = self.embedding(batch)
        for block in self.blocks:
            x = block(x, batch, angles)
            yield x


class TokenEmbedding(nn.Module):
    """Computes the vectors that enter the first block.

    They are the tokens' vectors and, in some families, learned positions, the vectors of values and segments,
    and a norm.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.mask_token = config.mask_token
        self.position_offset = config.position_offset
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.n_positions, config.d_model) if learned else None
        self.values = ValueEmbedding(config) if config.values == "continuous" else None
        self.segments = nn.Embedding(config.n_segments, config.d_model) if config.n_segments else None
        self.norm = layer_norm(config) if config.embedding_norm else nn.Identity()

    def forward(self, batch: PackedBatch) -> Float[Tensor, "tokens d_model"]:
        """Return the vector of each token."""
        x = self.tokens(batch.tokens)
        if self.mask_token is not None:
            x = self._drop_masked(x, batch, self.mask_token)
        if self.positions is not None:
            last = batch.end + self.position_offset
            assert last <= self.positions.num_embeddings, "a sequence is longer than the learned positions"
            x = x + self.positions(batch.positions + self.position_offset)
        if self.values is not None:
            assert batch.values is not None, "this model reads a value with each token"
            x = x + self.values(batch.values)
        if self.segments is not None:
            assert batch.segments is not None, "this model reads the segment of each token"
            x = x + self.segments(batch.segments)
        embedded: Tensor = self.norm(x)
        return embedded

    def _drop_masked(self, x: Tensor, batch: PackedBatch, mask_token: int) -> Tensor:
        """Zero the masked tokens and rescale the others, so that the stream has the same scale as in
        training.
        """
        is_masked = batch.tokens == mask_token
        share_masked = segment_mean(is_masked.float()[:, None], batch.cu_seqlens)
        scale = (1 - MASKED_IN_TRAINING) / (1 - share_masked)
        return x * (~is_masked[:, None] * scale[batch.sequence_of_token()]).to(x.dtype)


class ValueEmbedding(nn.Module):
    """Computes the vectors of the numbers that come with tokens: linear, ReLU, linear, LayerNorm.

    This is scGPT's continuous value encoder (Cui et al. 2024, Nature Methods 21:1470, Methods, "Expression
    value").
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.up = nn.Linear(1, config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)

    def forward(self, values: Float[Tensor, " tokens"]) -> Float[Tensor, "tokens d_model"]:
        """Return the vector of each value."""
        hidden = self.up(values[:, None].to(self.up.weight.dtype)).relu()
        embedded: Tensor = self.norm(self.out(hidden))
        return embedded
