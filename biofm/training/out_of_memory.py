"""Running out of memory ends in a sentence that names the options to change."""

import gc
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.core.free_memory import free_bytes
from biofm.core.memory import give_back_freed_memory
from biofm.inference import Compute
from biofm.training.recipe import Recipe
from biofm.training.step_memory import BATCH_MULTIPLE

# Of torch's allocator on Linux, and elsewhere; of the C++ library under it; of CUDA and cuBLAS, which take
# memory for themselves; of Apple's MPS.
COMPLAINTS = (
    "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation", "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory",
)  # fmt: skip
# Of oneDNN, which says no more; it is for lack of memory where little is left.
ONEDNN_COMPLAINTS = ("could not create a primitive", "could not execute a primitive")
LITTLE_BYTES = 256 << 20


@contextmanager
def memory_named(
    recipe: Recipe, compute: Compute, find_batch_size: Callable[[], int | None]
) -> Iterator[None]:
    """Within the ``with``, a lack of memory becomes an OptionError that names the size of batches which would
    fit, as ``find_batch_size`` finds it when what failed holds nothing any more.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        _clear_frames(error)
        raise _named(recipe, compute, _try(find_batch_size)) from error


def is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    if any(complaint in str(error) for complaint in ONEDNN_COMPLAINTS):
        free = free_bytes()
        return free is not None and free < LITTLE_BYTES
    return any(complaint in str(error) for complaint in COMPLAINTS)


def give_back(compute: Compute) -> None:
    """What nobody holds any more, to those who ask how much is free."""
    gc.collect()
    give_back_freed_memory()
    if compute.device.type == "cuda":
        torch.cuda.empty_cache()


def _clear_frames(error: BaseException) -> None:
    """They hold the tensors of the step that failed."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def _try(find_batch_size: Callable[[], int | None]) -> int | None:
    """None too where there is not even the memory to find out."""
    try:
        return find_batch_size()
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        return None


def _named(recipe: Recipe, compute: Compute, fits: int | None) -> OptionError:
    kind, budget = type(recipe), recipe.tokens_per_batch
    what = f"the memory of {compute.device} is too small for batches of {budget:,} tokens"
    if fits is None or budget <= BATCH_MULTIPLE:
        remedy = "Give less"
    elif fits == 0:
        remedy = f"Not even {BATCH_MULTIPLE:,} fit: take a smaller model"
    else:
        # What failed does not fit, whatever was found.
        below = (budget - 1) // BATCH_MULTIPLE * BATCH_MULTIPLE
        remedy = f"Give {min(fits, below)}, and more {option_of(kind, 'batches_per_step')} instead"
    if not recipe.activation_checkpointing:
        remedy += "; or add --set activation_checkpointing=true"
    return OptionError(what, where=option_of(kind, "tokens_per_batch"), remedy=remedy)
