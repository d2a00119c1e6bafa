"""Attention over packed sequences: computes it within each sequence, without padding.

The mathematics and the backends are in ``README.md`` beside this file.
"""

from biofm_kernels.attention.operation import attention
from biofm_kernels.attention.reference import CAUSAL, EVERYTHING

__all__ = ["CAUSAL", "EVERYTHING", "attention"]
