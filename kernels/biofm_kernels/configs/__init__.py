"""Block sizes, warps and pipeline stages of the kernels: a table for each architecture."""

from biofm_kernels.configs.tables import block_sizes

__all__ = ["block_sizes"]
