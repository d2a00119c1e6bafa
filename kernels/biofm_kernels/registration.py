"""Makes functions operations of torch, ``torch.ops.biofm.*``: autograd, compile and export see them whole."""

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
    """The operation ``biofm::name``, for every device. ``fake`` gives empty results of the shapes; ``save``
    and ``differentiate`` are what ``torch.library.register_autograd`` takes; without them the results cannot
    be differentiated. The schema follows from the types of ``run``, unless given.

    This takes the parts of ``torch.library.custom_op``, which itself imports torch's compiler at the first
    call: two seconds of every command.
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
    def refuse(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError(f"biofm::{name} has no derivative: biofm's operations have first ones only")

    return refuse


def _outside_autocast(run: Callable[..., Any]) -> Callable[..., Any]:
    """``run`` with autocast switched off, so that it computes in the dtypes that it is given."""

    @wraps(run)
    def run_as_given(x: Tensor, *arguments: Any) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return run(x, *arguments)

    return run_as_given
