"""Operations that biofm's models compute with. Each has a plain reference beside it. This package does not
import biofm.
"""

from biofm_kernels.attention import CAUSAL, EVERYTHING, attention
from biofm_kernels.backends import BACKENDS, Choice, KernelWarning, backend
from biofm_kernels.explain import Explanation, explain
from biofm_kernels.linear_cross_entropy import linear_cross_entropy
from biofm_kernels.packing import Packing, Rotary, Tiles, tile
from biofm_kernels.qk_norm_rope import QKNorm, qk_norm_rope
from biofm_kernels.segment_mean import segment_mean

__all__ = [
    "BACKENDS",
    "CAUSAL",
    "EVERYTHING",
    "Choice",
    "Explanation",
    "KernelWarning",
    "Packing",
    "QKNorm",
    "Rotary",
    "Tiles",
    "attention",
    "backend",
    "explain",
    "linear_cross_entropy",
    "qk_norm_rope",
    "segment_mean",
    "tile",
]
