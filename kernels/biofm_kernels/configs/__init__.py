"""Launch settings: block sizes, warps and pipeline stages of the kernels. There is a table for each GPU
architecture.
"""

from biofm_kernels.configs.tables import LARGEST_HEAD_DIM, block_sizes, table_name

__all__ = ["LARGEST_HEAD_DIM", "block_sizes", "table_name"]
