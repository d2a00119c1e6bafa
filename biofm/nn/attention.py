"""Self-attention over packed sequences: the projections around the kernel."""

from biofm_kernels import QKNorm, attention, qk_norm_rope
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Angles


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
        q, k, v = self._project(x, rows)
        rotary = None if angles is None else angles.rotary
        cu_queries, tiles = (None, batch.tiles) if rows is None else (rows.cu_seqlens, rows.tiles)
        if rows is not None and rotary is not None:
            rotary = rotary._replace(q_positions=rotary.k_positions[rows.indices])
        bounds = (batch.cu_seqlens, batch.max_seqlen, cu_queries)
        mixed = attention(q, k, v, *bounds, norm=self.norm, rotary=rotary, tiles=tiles)
        y: Tensor = self.out(mixed.flatten(1))
        return y

    @property
    def norm(self) -> QKNorm | None:
        if self.q_norm is None or self.k_norm is None:
            return None
        weights = (self.q_norm.weight, self.k_norm.weight, self.q_norm.bias, self.k_norm.bias)
        return QKNorm("layer", self.q_norm.eps, *weights)

    def queries_and_keys(
        self, x: Float[Tensor, "tokens d_model"], angles: Angles | None
    ) -> tuple[Float[Tensor, "tokens heads head_dim"], Float[Tensor, "tokens heads head_dim"]]:
        """q and k as they are attended with."""
        q, k, _ = self._project(x, None)
        return qk_norm_rope(q, k, self.norm, None if angles is None else angles.rotary)

    def _project(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Tensor, Tensor]:
        """q (rows, heads, head_dim), k and v (tokens, heads, head_dim)."""
        if rows is None:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            d_model = x.shape[-1]
            bias: Tensor | None = self.qkv.bias  # typed as never None by torch
            of_q, of_kv = self.qkv.weight.split([d_model, 2 * d_model])
            bias_q, bias_kv = (None, None) if bias is None else bias.split([d_model, 2 * d_model])
            k, v = F.linear(x, of_kv, bias_kv).chunk(2, dim=-1)
            q = F.linear(x[rows.indices], of_q, bias_q)
        q, k, v = (x.unflatten(-1, self.head_shape) for x in (q, k, v))
        return q, k, v
