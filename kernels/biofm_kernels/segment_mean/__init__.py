"""The mean of each sequence's rows in a packed batch: computes it, with or without weights.

The mathematics is in ``README.md`` beside this file.
"""

from biofm_kernels.segment_mean.operation import segment_mean

__all__ = ["segment_mean"]
