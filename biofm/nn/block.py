"""One layer of the encoder: attention, then feed-forward, each normalised and added to the stream."""

from collections.abc import Callable

from biofm_kernels import CAUSAL, QKNorm, Rotary, attention, qk_norm_rope
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn.config import EncoderConfig
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Angles

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}

Heads = Float[Tensor, "tokens heads head_dim"]


class Block(nn.Module):
    """The parts that both orders of norm share. Given ``rows``, a block returns the vectors of these tokens
    alone.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.branch_weight = 1.0 / config.residual_scale
        self.attention_norm = block_norm(config)
        self.attention = self_attention(config)
        self.feedforward_norm = block_norm(config)
        self.feedforward = feed_forward(config)

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """Return x + weight * branch. The ``alpha`` of torch.add would do, but the compiler of torch 2.13
        drops it where the branch ends in a matrix product.
        """
        return x + (branch if self.branch_weight == 1 else branch * self.branch_weight)

    def stream(self, x: Tensor, rows: Rows | None) -> Tensor:
        """Return the vectors of the tokens that the block returns: all, or those of ``rows``."""
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


class SelfAttention(nn.Module):
    """out(attention(rotate(norm(q)), rotate(norm(k)), v)) with q, k, v in one projection.

    The norms of q and k are over the whole model width (ESM C; Henry et al. 2020), and absent unless
    ``qk_norm``.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.head_shape = (config.n_heads, config.d_head)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=config.linear_bias)
        self.q_norm = layer_norm(config) if config.qk_norm else None
        self.k_norm = layer_norm(config) if config.qk_norm else None
        self.out = nn.Linear(config.d_model, config.d_model, bias=config.linear_bias)

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        angles: Angles | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        mixed = self.mix(*self._project(x), batch, None if angles is None else angles.rotary, rows)
        y: Tensor = self.out(mixed.flatten(1))
        return y

    def mix(
        self, q: Heads, k: Heads, v: Heads, batch: PackedBatch, rotary: Rotary | None, rows: Rows | None
    ) -> Float[Tensor, "rows heads head_dim"]:
        """Return attention(q, k, v), of all tokens or of ``rows`` alone."""
        bounds = (batch.cu_seqlens, batch.max_seqlen)
        if rows is None:
            return attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, tiles=batch.tiles)
        if rotary is not None:
            rotary = rotary._replace(q_positions=rotary.k_positions[rows.indices])
        bounds_of_rows = (*bounds, rows.cu_seqlens)
        queries = q[rows.indices]
        return attention(queries, k, v, *bounds_of_rows, norm=self.norm, rotary=rotary, tiles=rows.tiles)

    @property
    def norm(self) -> QKNorm | None:
        """The norms of q and k as the attention kernel takes them; None without ``qk_norm``."""
        if self.q_norm is None or self.k_norm is None:
            return None
        weights = (self.q_norm.weight, self.k_norm.weight, self.q_norm.bias, self.k_norm.bias)
        return QKNorm("layer", self.q_norm.eps, *weights)

    def queries_and_keys(
        self, x: Float[Tensor, "tokens d_model"], angles: Angles | None
    ) -> tuple[Heads, Heads]:
        """Return q and k as the kernel attends with them: normalised and rotated."""
        q, k, _ = self._project(x)
        return qk_norm_rope(q, k, self.norm, None if angles is None else angles.rotary)

    def _project(self, x: Float[Tensor, "tokens d_model"]) -> tuple[Heads, Heads, Heads]:
        """Return q, k and v of all tokens, also where only some are queries. The module ``qkv`` is called as
        a whole, so that what wraps it (LoRA, a hook) takes effect.
        """
        q, k, v = (part.unflatten(-1, self.head_shape) for part in self.qkv(x).chunk(3, dim=-1))
        return q, k, v


class CausalSelfAttention(SelfAttention):
    """Self-attention in which a token attends to itself and the tokens before it."""

    def mix(
        self, q: Heads, k: Heads, v: Heads, batch: PackedBatch, rotary: Rotary | None, rows: Rows | None
    ) -> Float[Tensor, "rows heads head_dim"]:
        bounds = (batch.cu_seqlens, batch.max_seqlen)
        mixed = attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, window=CAUSAL, tiles=batch.tiles)
        # The kernel's window is around a token, so that all tokens have to be queries.
        return mixed if rows is None else mixed[rows.indices]


def self_attention(config: EncoderConfig) -> SelfAttention:
    """Return the attention of a block: causal or not, as the configuration says."""
    return CausalSelfAttention(config) if config.causal else SelfAttention(config)


class FeedForward(nn.Module):
    """down(activation(up(x))). GELU is computed in its exact form (erf)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.feedforward]
        self.up = nn.Linear(config.d_model, config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        y: Tensor = self.down(self.activation(self.up(x)))
        return y


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020), gate and up in one projection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        y: Tensor = self.down(F.silu(gate) * up)
        return y


def feed_forward(config: EncoderConfig) -> FeedForward | SwiGLU:
    """Return the feed-forward of a block: SwiGLU, or up and down with an activation between."""
    return SwiGLU(config) if config.feedforward == "swiglu" else FeedForward(config)


def layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    """Return a norm over the model width: LayerNorm (Ba et al. 2016), with a bias if ``norm_bias``."""
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.norm_bias)


def block_norm(config: EncoderConfig) -> nn.LayerNorm:
    """Return one of the two norms of a block. In ESM C these have a bias and the other norms have none."""
    bias = config.norm_bias if config.block_norm_bias is None else config.block_norm_bias
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=bias)
