"""Explains what runs here, and why: the operations' choices for the tensors that models have."""

from itertools import groupby
from typing import NamedTuple

import torch

from biofm_kernels.attention import dispatch
from biofm_kernels.backends import Choice, choose_row_kernel
from biofm_kernels.configs import table_name

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
HEAD_DIMS = (16, 24, 32, 48, 64, 80, 96, 128, 256)
ROW_OPERATIONS = ("qk_norm_rope", "segment_mean", "linear_cross_entropy")
ANY = "any"


class Explanation(NamedTuple):
    """Says what an operation runs for one dtype and some head dims.

    Attributes:
        operation: The operation's name.
        dtype: The tensors' dtype, for example "bfloat16".
        head_dims: The head dims that the row is about, separated by commas; "any" if they do not matter.
        backend: The implementation that runs.
        reason: Why it was chosen.
        block_sizes: The name of the table that the kernel takes its block sizes from; empty if it uses none.
    """

    operation: str
    dtype: str
    head_dims: str
    backend: str
    reason: str
    block_sizes: str


def explain(device: torch.device) -> list[Explanation]:
    """Explain what every operation runs on a device, one row for each choice.

    Args:
        device: The device that the tensors would be on.
    """
    rows = []
    for dtype in DTYPES:
        choices = ((head_dim, dispatch.choose(device, dtype, head_dim)) for head_dim in HEAD_DIMS)
        for choice, members in groupby(choices, key=lambda pair: pair[1]):
            head_dims = ", ".join(str(head_dim) for head_dim, _ in members)
            rows.append(_explanation(dispatch.OPERATION, device, dtype, head_dims, choice))
    for operation in ROW_OPERATIONS:
        for dtype in DTYPES:
            choice = choose_row_kernel(operation, device, dtype)
            rows.append(_explanation(operation, device, dtype, ANY, choice))
    return rows


def _explanation(
    operation: str, device: torch.device, dtype: torch.dtype, head_dims: str, choice: Choice
) -> Explanation:
    """Make one row of the explanation."""
    name = str(dtype).removeprefix("torch.")
    has_table = operation == dispatch.OPERATION and choice.backend == "triton"
    return Explanation(operation, name, head_dims, *choice, table_name(device) if has_table else "")
