"""One layer of the encoder: attention, then feed-forward, each added to the stream."""

from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.attention import self_attention
from biofm.nn.config import EncoderConfig
from biofm.nn.feedforward import feed_forward
from biofm.nn.norm import block_norm
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Angles


class Block(nn.Module):
    """The parts that both orders share. With ``rows``, only these tokens' vectors come out."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.branch_weight = 1.0 / config.residual_scale
        self.attention_norm = block_norm(config)
        self.attention = self_attention(config)
        self.feedforward_norm = block_norm(config)
        self.feedforward = feed_forward(config)

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + weight * branch. Not by the ``alpha`` of torch.add, which the compiler of torch 2.13 leaves out
        where the branch ends in a product of matrices.
        """
        return x + (branch if self.branch_weight == 1 else branch * self.branch_weight)

    def stream(self, x: Tensor, rows: Rows | None) -> Tensor:
        return x if rows is None else x[rows.indices]


class PreNormBlock(Block):
    """x + attention(norm(x)), then x + feedforward(norm(x)): the stream itself is never normalised."""

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        angles: Angles | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        mixed = self.attention(self.attention_norm(x), batch, angles, rows)
        x = self.add(self.stream(x, rows), mixed)
        return self.add(x, self.feedforward(self.feedforward_norm(x)))


class PostNormBlock(Block):
    """norm(x + attention(x)), then norm(x + feedforward(x)), as in BERT."""

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        angles: Angles | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        mixed = self.attention(x, batch, angles, rows)
        x = self.attention_norm(self.add(self.stream(x, rows), mixed))
        y: Tensor = self.feedforward_norm(self.add(x, self.feedforward(x)))
        return y
