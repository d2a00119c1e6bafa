"""Norm and rotation: computes the norm of q and k over the model width, then rotary embedding, in one pass
over memory.

The mathematics is in ``README.md`` beside this file.
"""

from biofm_kernels.qk_norm_rope.norm import Norm, QKNorm, parts_of
from biofm_kernels.qk_norm_rope.operation import check_turning, qk_norm_rope

__all__ = ["Norm", "QKNorm", "check_turning", "parts_of", "qk_norm_rope"]
