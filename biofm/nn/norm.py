"""The norm of the streams: LayerNorm (Ba et al. 2016), with or without a bias."""

from torch import nn

from biofm.nn.config import EncoderConfig


def layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.norm_bias)


def block_norm(config: EncoderConfig) -> nn.LayerNorm:
    """One of the two norms of a block; those of ESM C have a bias where its other norms have none."""
    bias = config.norm_bias if config.block_norm_bias is None else config.block_norm_bias
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=bias)
