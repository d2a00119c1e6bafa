"""Changes to an encoder, block by block, that let it train in less memory, in less time or on several
processes.

Each function changes the model in place and keeps the names of its weights. They can be combined in this
order: ``recompute_blocks``, ``compile_blocks``, ``shard``.
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
    """Keep only the input of each block, and compute the rest again in the backward pass (Chen et al. 2016).

    This saves memory and costs one more forward pass. The loss and its gradients are the same to the last
    bit.

    Args:
        encoder: The encoder to change.
    """
    for block in encoder.blocks:
        block.forward = MethodType(_recompute, block)


def compile_blocks(encoder: Encoder, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the blocks with torch's compiler: one graph for all of them and for batches of every size.

    Numbers, for example the epsilon of a norm, become constants of the graph. From this call on, this holds
    for everything that the process compiles: torch 2.13 cannot compile blocks that are recomputed otherwise.

    Args:
        encoder: The encoder to change.
        backend: The compiler's backend, by name or as a function; by default torch's own.
    """
    torch._dynamo.config.specialize_float = True
    for block in encoder.blocks:
        block.compile(fullgraph=True, dynamic=True, backend=backend)


def restore_blocks(encoder: Encoder) -> None:
    """Undo ``recompute_blocks`` and ``compile_blocks``.

    Args:
        encoder: The encoder to change back.
    """
    for block in encoder.blocks:
        vars(block).pop("forward", None)
        block._compiled_call_impl = None


def shard(model: nn.Module, mesh: DeviceMesh, dtype: torch.dtype | None = None) -> None:
    """Spread the weights, the gradients and the optimiser's state over several processes (FSDP2).

    The processes gather the weights of a block while it runs, and add up gradients in float32. Call the
    sharded model as a whole, never its parts.

    Args:
        model: The model to change; its attribute ``encoder`` is an Encoder.
        mesh: The processes.
        dtype: What the model computes in; None for the dtype of its weights.
    """
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard  # Importing it takes half a second.

    assert isinstance(model.encoder, Encoder), "only a model with an encoder can be sharded block by block"
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=None if dtype is None else torch.float32)
    for part in (*model.encoder.blocks, model):
        fully_shard(part, mesh=mesh, mp_policy=policy)


def _recompute(
    block: Block, x: Tensor, batch: PackedBatch, angles: Angles | None, rows: Rows | None = None
) -> Tensor:
    """Run the block's forward pass and keep only its input for the backward pass.

    It is bound to each block as a method, so that a copy of the model has its own.
    """
    y: Tensor = checkpoint(type(block).forward, block, x, batch, angles, rows, use_reentrant=False)
    return y
