"""One layer of the encoder: attention, then feed-forward. Each is normalised and added to the residual
stream.
"""

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
    """Holds the parts that both orders of norm share: two norms, attention and feed-forward.

    The subclasses define ``forward``. Given ``rows``, a block returns the vectors of these tokens only.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.branch_weight = 1.0 / config.residual_scale
        self.attention_norm = block_norm(config)
        self.attention = self_attention(config)
        self.feedforward_norm = block_norm(config)
        self.feedforward = feed_forward(config)

    def add(self, x: Tensor, branch: Tensor) -> Tensor:
        """Return x + weight * branch.

        ``torch.add`` has an argument ``alpha`` for this, but the compiler of torch 2.13 ignores ``alpha`` if
        the branch ends with a matrix product.
        """
        return x + (branch if self.branch_weight == 1 else branch * self.branch_weight)

    def stream(self, x: Tensor, rows: Rows | None) -> Tensor:
        """Return the vectors of the tokens that the block returns: all of them, or those of ``rows``."""
        return x if rows is None else x[rows.indices]


class PreNormBlock(Block):
    """Computes x + attention(norm(x)), then x + feedforward(norm(x)): the residual stream itself is never
    normalised.
    """

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        angles: Angles | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        """Return the tokens' vectors after this layer."""
        mixed = self.attention(self.attention_norm(x), batch, angles, rows)
        x = self.add(self.stream(x, rows), mixed)
        return self.add(x, self.feedforward(self.feedforward_norm(x)))


class PostNormBlock(Block):
    """Computes norm(x + attention(x)), then norm(x + feedforward(x)), as in BERT."""

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        angles: Angles | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        """Return the tokens' vectors after this layer."""
        mixed = self.attention(x, batch, angles, rows)
        x = self.attention_norm(self.add(self.stream(x, rows), mixed))
        y: Tensor = self.feedforward_norm(self.add(x, self.feedforward(x)))
        return y


class SelfAttention(nn.Module):
    """Computes out(attention(rotate(norm(q)), rotate(norm(k)), v)), where one projection makes q, k and v.

    The norms of q and k are over the whole model width (ESM C; Henry et al. 2020). They exist only if the
    configuration sets ``qk_norm``.
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
        """Return the attention's output for all tokens, or for ``rows`` only."""
        mixed = self.mix(*self._project(x), batch, None if angles is None else angles.rotary, rows)
        y: Tensor = self.out(mixed.flatten(1))
        return y

    def mix(
        self, q: Heads, k: Heads, v: Heads, batch: PackedBatch, rotary: Rotary | None, rows: Rows | None
    ) -> Float[Tensor, "rows heads head_dim"]:
        """Return attention(q, k, v) of all tokens, or of ``rows`` only."""
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
        """The norms of q and k in the form that the attention kernel takes; None where there is no
        ``qk_norm``.
        """
        if self.q_norm is None or self.k_norm is None:
            return None
        weights = (self.q_norm.weight, self.k_norm.weight, self.q_norm.bias, self.k_norm.bias)
        return QKNorm("layer", self.q_norm.eps, *weights)

    def queries_and_keys(
        self, x: Float[Tensor, "tokens d_model"], angles: Angles | None
    ) -> tuple[Heads, Heads]:
        """Return q and k as attention uses them: normalised and rotated."""
        q, k, _ = self._project(x)
        return qk_norm_rope(q, k, self.norm, None if angles is None else angles.rotary)

    def _project(self, x: Float[Tensor, "tokens d_model"]) -> tuple[Heads, Heads, Heads]:
        """Return q, k and v of all tokens, even if only some tokens are queries.

        The module ``qkv`` is called as a whole, so that anything that wraps it (LoRA, a hook) takes effect.
        """
        q, k, v = (part.unflatten(-1, self.head_shape) for part in self.qkv(x).chunk(3, dim=-1))
        return q, k, v


class CausalSelfAttention(SelfAttention):
    """Computes self-attention in which a token attends to itself and to the tokens before it."""

    def mix(
        self, q: Heads, k: Heads, v: Heads, batch: PackedBatch, rotary: Rotary | None, rows: Rows | None
    ) -> Float[Tensor, "rows heads head_dim"]:
        """Return causal attention of all tokens, or of ``rows`` only."""
        bounds = (batch.cu_seqlens, batch.max_seqlen)
        mixed = attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, window=CAUSAL, tiles=batch.tiles)
        # A window lies around each token, so the kernel needs every token as a query.
        return mixed if rows is None else mixed[rows.indices]


def self_attention(config: EncoderConfig) -> SelfAttention:
    """Return the attention of a block: causal if the configuration says so."""
    return CausalSelfAttention(config) if config.causal else SelfAttention(config)


class FeedForward(nn.Module):
    """Computes down(activation(up(x))). GELU is computed in its exact form (erf)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.feedforward]
        self.up = nn.Linear(config.d_model, config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        """Return the output for each token."""
        y: Tensor = self.down(self.activation(self.up(x)))
        return y


class SwiGLU(nn.Module):
    """Computes down(silu(gate(x)) * up(x)) (Shazeer 2020), with gate and up in one projection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        """Return the output for each token."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        y: Tensor = self.down(F.silu(gate) * up)
        return y


def feed_forward(config: EncoderConfig) -> FeedForward | SwiGLU:
    """Return the feed-forward part of a block: SwiGLU, or two projections with an activation between them."""
    return SwiGLU(config) if config.feedforward == "swiglu" else FeedForward(config)


def layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    """Return a norm over the model width: LayerNorm (Ba et al. 2016), with a bias if ``norm_bias``."""
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.norm_bias)


def block_norm(config: EncoderConfig) -> nn.LayerNorm:
    """Return one of the two norms of a block. In ESM C these two have a bias and the others have none."""
    bias = config.norm_bias if config.block_norm_bias is None else config.block_norm_bias
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=bias)
