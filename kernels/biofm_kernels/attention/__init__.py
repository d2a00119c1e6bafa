"""Attention over packed sequences.

The mathematics and the backends: ``README.md`` beside this file.
"""

from biofm_kernels.attention.operation import attention
from biofm_kernels.attention.reference import CAUSAL, EVERYTHING

__all__ = ["CAUSAL", "EVERYTHING", "attention"]
