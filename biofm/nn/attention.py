"""Self-attention over packed sequences: projections, norms and rotation around the kernel."""

from biofm_kernels import attention
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch
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
        self, x: Float[Tensor, "tokens d_model"], batch: PackedBatch, rotation: Rotation | None
    ) -> Float[Tensor, "tokens d_model"]:
        q, k, v = self.qkv(x).chunk(3, dim=-1)  # (tokens, d_model) each
        q = rotate(self.q_norm(q).unflatten(-1, self.head_shape), rotation)
        k = rotate(self.k_norm(k).unflatten(-1, self.head_shape), rotation)
        v = v.unflatten(-1, self.head_shape)  # (tokens, heads, head_dim)
        mixed = attention(q, k, v, batch.cu_seqlens, batch.max_seqlen)
        y: Tensor = self.out(mixed.flatten(1))
        return y
