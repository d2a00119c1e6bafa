"""Registration: makes functions operations of torch, ``torch.ops.biofm.*``. Autograd, compile and export see
them as wholes.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

NAMESPACE = "biofm"


def register(
    name: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    schema: str | None = None,
    save: Callable[..., None] | None = None,
    differentiate: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Register the operation ``biofm::name`` for every device, and return it.

    This does the work of ``torch.library.custom_op``, which would import torch's compiler at the first call
    and so add two seconds to every command.

    Args:
        name: The operation's name in ``torch.ops.biofm``.
        run: Computes the results. Its type annotations give the schema unless ``schema`` is set.
        fake: Makes empty results of the right shapes.
        schema: The types of the arguments and results, in torch's notation.
        save: Keeps what the backward pass reads, as ``torch.library.register_autograd`` takes it.
        differentiate: Computes gradients, as ``torch.library.register_autograd`` takes it. None if the
            operation cannot be differentiated.
    """
    qualified = f"{NAMESPACE}::{name}"
    schema = schema or torch.library.infer_schema(run, mutates_args=())
    torch.library.define(qualified, " ".join(schema.split()), tags=torch.Tag.pt2_compliant_tag)
    torch.library.impl(qualified, "CompositeExplicitAutograd", _outside_autocast(run))
    torch.library.register_fake(qualified, fake)
    if differentiate is None:
        differentiate = _once_only(name)
    torch.library.register_autograd(qualified, differentiate, setup_context=save)
    operation: Callable[..., Any] = getattr(getattr(torch.ops, NAMESPACE), name).default
    return operation


def _once_only(name: str) -> Callable[..., Any]:
    """Make a backward pass that fails: the operation has no derivative."""

    def refuse(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError(
            f"biofm::{name} has no derivative: biofm's operations have first derivatives only"
        )

    return refuse


def _outside_autocast(run: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``run`` so that autocast is off inside and it computes in the dtypes that it is given."""

    @wraps(run)
    def run_as_given(x: Tensor, *arguments: Any) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return run(x, *arguments)

    return run_as_given
