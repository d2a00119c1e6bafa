"""Changes to an encoder, block by block, that let it train in less memory, less time or several processes.

Each function changes the model in place and leaves the names of its weights alone. They may be combined, in
this order: ``recompute_blocks``, ``compile_blocks``, ``shard``.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.checkpoint import checkpoint

from biofm.nn.block import Block
from biofm.nn.encoder import Encoder
from biofm.nn.packing import PackedBatch, Rows
from biofm.nn.rotary import Angles


def recompute_blocks(encoder: Encoder) -> None:
    """Keep of each block what goes in, and compute the rest again in the backward pass (Chen et al. 2016):
    less memory for one more forward pass. The loss and its gradients are the same to the last bit.
    """
    for block in encoder.blocks:
        block.forward = MethodType(_recompute, block)


def compile_blocks(encoder: Encoder, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the blocks with torch's compiler: one graph for all of them and for batches of every size.

    Numbers such as the epsilon of a norm become constants of the graph, here and in whatever else this
    process compiles: torch 2.13 cannot otherwise lower them in blocks that are computed again.
    """
    torch._dynamo.config.specialize_float = True
    for block in encoder.blocks:
        block.compile(fullgraph=True, dynamic=True, backend=backend)


def restore_blocks(encoder: Encoder) -> None:
    """Undo ``recompute_blocks`` and ``compile_blocks``."""
    for block in encoder.blocks:
        vars(block).pop("forward", None)
        block._compiled_call_impl = None


def shard(model: nn.Module, mesh: DeviceMesh, dtype: torch.dtype | None = None) -> None:
    """Spread weights, gradients and the optimiser's state over the processes of ``mesh`` (FSDP2), which
    gather a block's weights while it runs.

    ``model`` has an ``encoder``, and is to be called as a whole. In ``dtype`` it computes, by default in that
    of its weights; gradients are added up in float32.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # half a second to import

    assert isinstance(model.encoder, Encoder), "what is sharded block by block has an encoder"
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=None if dtype is None else torch.float32)
    for part in (*model.encoder.blocks, model):
        fully_shard(part, mesh=mesh, mp_policy=policy)


def _recompute(
    block: Block, x: Tensor, batch: PackedBatch, angles: Angles | None, rows: Rows | None = None
) -> Tensor:
    """Bound to a block as its method, so that a copy of the model has one of its own."""
    y: Tensor = checkpoint(type(block).forward, block, x, batch, angles, rows, use_reentrant=False)
    return y
