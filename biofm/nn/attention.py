"""Self-attention over packed sequences: the projections around the kernel."""

from biofm_kernels import CAUSAL, QKNorm, Rotary, attention, qk_norm_rope
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Angles

Heads = Float[Tensor, "tokens heads head_dim"]


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
        bounds = (batch.cu_seqlens, batch.max_seqlen)
        if rows is None:
            return attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, tiles=batch.tiles)
        if rotary is not None:
            rotary = rotary._replace(q_positions=rotary.k_positions[rows.indices])
        bounds_of_rows = (*bounds, rows.cu_seqlens)
        asking = q[rows.indices]
        return attention(asking, k, v, *bounds_of_rows, norm=self.norm, rotary=rotary, tiles=rows.tiles)

    @property
    def norm(self) -> QKNorm | None:
        if self.q_norm is None or self.k_norm is None:
            return None
        weights = (self.q_norm.weight, self.k_norm.weight, self.q_norm.bias, self.k_norm.bias)
        return QKNorm("layer", self.q_norm.eps, *weights)

    def queries_and_keys(
        self, x: Float[Tensor, "tokens d_model"], angles: Angles | None
    ) -> tuple[Heads, Heads]:
        """q and k as they are attended with."""
        q, k, _ = self._project(x)
        return qk_norm_rope(q, k, self.norm, None if angles is None else angles.rotary)

    def _project(self, x: Float[Tensor, "tokens d_model"]) -> tuple[Heads, Heads, Heads]:
        """q, k and v of all tokens, even where only some will ask: by the module itself and not by parts of
        its weight, so that what wraps the module (LoRA, a hook) has its say.
        """
        q, k, v = (part.unflatten(-1, self.head_shape) for part in self.qkv(x).chunk(3, dim=-1))
        return q, k, v


class CausalSelfAttention(SelfAttention):
    """The same where a token attends to itself and those before it."""

    def mix(
        self, q: Heads, k: Heads, v: Heads, batch: PackedBatch, rotary: Rotary | None, rows: Rows | None
    ) -> Float[Tensor, "rows heads head_dim"]:
        bounds = (batch.cu_seqlens, batch.max_seqlen)
        mixed = attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, window=CAUSAL, tiles=batch.tiles)
        return mixed if rows is None else mixed[rows.indices]  # a window is around a token: all of them ask


def self_attention(config: EncoderConfig) -> SelfAttention:
    return CausalSelfAttention(config) if config.causal else SelfAttention(config)
