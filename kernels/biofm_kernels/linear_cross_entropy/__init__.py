"""Cross-entropy behind a linear layer: computes it without holding the logits in memory.

The mathematics is in ``README.md`` beside this file.
"""

from biofm_kernels.linear_cross_entropy.operation import linear_cross_entropy

__all__ = ["linear_cross_entropy"]
