"""What a recipe asks to be done to the blocks of an encoder while it trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import nn

from biofm.core.errors import OptionError
from biofm.nn import Encoder, compile_blocks, recompute_blocks, restore_blocks
from biofm.training.recipe import Recipe


@contextmanager
def prepared_blocks(model: nn.Module, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Within the ``with``, activations are computed again and blocks are compiled, as the recipe says.

    Raises OptionError where nothing here can compile.
    """
    if recipe.compile:
        _check_compiler(device)
    encoders = [part for part in model.modules() if isinstance(part, Encoder)]
    try:
        for encoder in encoders:
            if recipe.activation_checkpointing:
                recompute_blocks(encoder)
            if recipe.compile:
                compile_blocks(encoder)
        yield
    finally:
        for encoder in encoders:
            restore_blocks(encoder)


def _check_compiler(device: torch.device) -> None:
    """torch's compiler needs another one: of C++ for a processor, Triton for a GPU."""
    remedy = "Install it, or leave compile = true out"
    if device.type == "cuda" and find_spec("triton") is None:
        raise OptionError("Triton is not installed", where="--set compile", remedy=remedy)
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler  # a second to import

        try:
            get_cpp_compiler()
        except RuntimeError as error:
            what = "there is no C++ compiler on this machine"
            raise OptionError(what, where="--set compile", remedy=remedy) from error
