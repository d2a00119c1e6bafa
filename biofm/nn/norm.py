"""The norm of the streams: LayerNorm (Ba et al. 2016), with or without a bias."""

from torch import nn

from biofm.nn.config import EncoderConfig


def layer_norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.norm_bias)
