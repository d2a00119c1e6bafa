"""Bidirectional attention over packed sequences.

The mathematics and the backends: ``README.md`` beside this file.
"""

from biofm_kernels.attention.dispatch import attention, backend_for

__all__ = ["attention", "backend_for"]
