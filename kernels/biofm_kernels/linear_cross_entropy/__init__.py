"""Cross-entropy behind a linear layer, without the logits in memory.

The mathematics: ``README.md`` beside this file.
"""

from biofm_kernels.linear_cross_entropy.operation import linear_cross_entropy

__all__ = ["linear_cross_entropy"]
