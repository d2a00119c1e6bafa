"""Attention over packed sequences.

The mathematics and the backends: ``README.md`` beside this file.
"""

from biofm_kernels.attention.operation import attention

__all__ = ["attention"]
