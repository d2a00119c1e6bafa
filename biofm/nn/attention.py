"""Self-attention over packed sequences: projections, norms and rotation around the kernel."""

from biofm_kernels import attention
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Rotation, rotate


class SelfAttention(nn.Module):
    """out(attention(rotate(norm(q)), rotate(norm(k)), v)) with q, k, v in one projection.

    The norms of q and k are over the whole model width (ESM C; Henry et al. 2020), and absent unless
    ``qk_norm``.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.head_shape = (config.n_heads, config.d_head)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=config.linear_bias)
        self.q_norm = layer_norm(config) if config.qk_norm else nn.Identity()
        self.k_norm = layer_norm(config) if config.qk_norm else nn.Identity()
        self.out = nn.Linear(config.d_model, config.d_model, bias=config.linear_bias)

    def forward(
        self,
        x: Float[Tensor, "tokens d_model"],
        batch: PackedBatch,
        rotation: Rotation | None,
        rows: Rows | None = None,
    ) -> Float[Tensor, "rows d_model"]:
        q, k, v = self.heads(x, rotation, rows)
        cu_queries = None if rows is None else rows.cu_seqlens
        mixed = attention(q, k, v, batch.cu_seqlens, batch.max_seqlen, cu_queries)
        y: Tensor = self.out(mixed.flatten(1))
        return y

    def heads(
        self, x: Float[Tensor, "tokens d_model"], rotation: Rotation | None, rows: Rows | None = None
    ) -> tuple[
        Float[Tensor, "rows heads head_dim"],
        Float[Tensor, "tokens heads head_dim"],
        Float[Tensor, "tokens heads head_dim"],
    ]:
        """What the kernel is given: q, k and v, normed and rotated; q of the ``rows`` alone."""
        q, k, v = self._project(x, rows)
        of_queries = rotation if rows is None or rotation is None else rotation.at(rows.indices)
        q = rotate(self.q_norm(q).unflatten(-1, self.head_shape), of_queries)
        k = rotate(self.k_norm(k).unflatten(-1, self.head_shape), rotation)
        return q, k, v.unflatten(-1, self.head_shape)

    def _project(self, x: Tensor, rows: Rows | None) -> tuple[Tensor, Tensor, Tensor]:
        """q (rows, d_model), k and v (tokens, d_model)."""
        if rows is None:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
            return q, k, v
        d_model = x.shape[-1]
        bias: Tensor | None = self.qkv.bias  # typed as never None by torch
        of_q, of_kv = self.qkv.weight.split([d_model, 2 * d_model])
        bias_q, bias_kv = (None, None) if bias is None else bias.split([d_model, 2 * d_model])
        k, v = F.linear(x, of_kv, bias_kv).chunk(2, dim=-1)
        return F.linear(x[rows.indices], of_q, bias_q), k, v
