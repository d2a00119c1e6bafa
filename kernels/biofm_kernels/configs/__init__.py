"""Block sizes, warps and pipeline stages of the kernels: a table for each architecture."""

from biofm_kernels.configs.tables import block_sizes, table_name

__all__ = ["block_sizes", "table_name"]
