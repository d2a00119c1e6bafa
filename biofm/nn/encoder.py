"""The one encoder: packed tokens in, a vector a token out."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.block import PostNormBlock, PreNormBlock
from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import NoRotaryAngles, RotaryAngles
from biofm.nn.token_embedding import TokenEmbedding

BLOCKS = {"pre": PreNormBlock, "post": PostNormBlock}


class Encoder(nn.Module):
    """norm(block_n(... block_1(embedding(tokens)))).

    Each part is chosen by the config when the encoder is built.
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
        """The hidden state after ``layer``: 0 is the embedding, n_layers (or None) the last one with the
        final norm.

        Deeper layers are not computed, and in the last one that is, of tokens outside ``rows`` only what the
        others attend to.
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
        """The stream as each block leaves it, in order and without the final norm."""
        angles = self.rotary(batch.positions, batch.end)
        x: Tensor = self.embedding(batch)
        for block in self.blocks:
            x = block(x, batch, angles)
            yield x
