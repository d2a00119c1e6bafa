"""From token numbers to the vectors that enter the first block."""

from biofm_kernels import segment_mean
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.config import EncoderConfig
from biofm.nn.norm import layer_norm
from biofm.nn.packing import PackedBatch

MASKED_IN_TRAINING = (
    0.15 * 0.8
)  # 15 % of residues are chosen and 80 % of those masked, in every ESM training run


class Embedding(nn.Module):
    """Token vectors, with the learned positions and the norm that some families add."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.mask_token = config.mask_token
        self.position_offset = config.position_offset
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.n_positions, config.d_model) if learned else None
        self.norm = layer_norm(config) if config.embedding_norm else nn.Identity()

    def forward(self, batch: PackedBatch) -> Float[Tensor, "tokens d_model"]:
        x = self.tokens(batch.tokens)
        if self.mask_token is not None:
            x = self._drop_masked(x, batch, self.mask_token)
        if self.positions is not None:
            last = batch.end + self.position_offset
            assert last <= self.positions.num_embeddings, "a sequence longer than the learned positions"
            x = x + self.positions(batch.positions + self.position_offset)
        embedded: Tensor = self.norm(x)
        return embedded

    def _drop_masked(self, x: Tensor, batch: PackedBatch, mask_token: int) -> Tensor:
        """Zero the masked tokens and rescale the rest, so that the stream has the size it had in training."""
        is_masked = batch.tokens == mask_token
        share_masked = segment_mean(is_masked.float()[:, None], batch.cu_seqlens)
        scale = (1 - MASKED_IN_TRAINING) / (1 - share_masked)
        return x * (~is_masked[:, None] * scale[batch.sequence_of_token()]).to(x.dtype)
