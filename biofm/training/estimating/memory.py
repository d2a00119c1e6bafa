"""Memory of a training step: its parts are computed from small batches, and an error names what fits."""

import gc
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim import Muon

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.core.memory import free_bytes, give_back_freed_memory
from biofm.inference import Compute
from biofm.nn import recompute_blocks
from biofm.training.data import PackedData
from biofm.training.estimating.trial import Trial, encoder_of, precision, sample_batches, training_copy
from biofm.training.objectives import Example, Objective
from biofm.training.optimizers import Joined, make_optimizer
from biofm.training.recipe import Recipe

SAMPLE_TOKENS, SAMPLE_LENGTH = (256, 512), 128  # of the batches that are measured: small ones are enough
BATCH_MULTIPLE = 1024
USABLE = 0.9  # share of the free memory, as a margin for the error of the estimate

CODE_BYTES = 60 << 20  # code that a first step loads on a CPU (measured)

# oneDNN, which multiplies bfloat16 on a CPU, compiles a program for every new shape and keeps the last 1,024.
# About 60 steps of packed batches need so many. This is what they take beyond the programs of a trial.
PRIMITIVES_BYTES = 400 << 20

# An allocator holds memory in pieces that fit no tensor. UNTRIED is its share of the activations before a
# trial, high enough that the trial itself does not fail. GROWTH is its growth after the trial: batches differ
# in size, so it grows by half within a hundred steps.
UNTRIED, GROWTH = 1.0, 1.5

# Messages of torch's allocator on Linux and elsewhere, of the C++ library, of CUDA and cuBLAS, which allocate
# memory for themselves, and of Apple's MPS.
COMPLAINTS = (
    "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation", "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory",
)  # fmt: skip
# Messages of oneDNN, which give no cause. If little memory is left, the cause is taken to be the memory.
ONEDNN_COMPLAINTS = ("could not create a primitive", "could not execute a primitive")
LITTLE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Holds the bytes that one process takes on the device where it trains.

    Attributes:
        weights: The model's weights.
        gradients: The gradients of the trained weights.
        optimiser: The state of the optimiser.
        averages: The averages of the weights.
        checkpoint: A checkpoint while it is written or read.
        code: Code that the first steps load.
        batch_bytes: What each batch keeps for the backward pass, whatever its size.
        token_bytes: What a batch keeps more for each of its tokens.
        held_bytes: What the allocator holds more for each token of a batch.
    """

    weights: int
    gradients: int
    optimiser: int
    averages: int
    checkpoint: int
    code: int
    batch_bytes: int
    token_bytes: float
    held_bytes: float

    def parts(self, n_tokens: int) -> dict[str, int]:
        """Return the bytes of each part at the moment of the highest use.

        Args:
            n_tokens: Tokens of a batch.
        """
        return {
            "code": self.code,
            "weights": self.weights,
            "gradients": self.gradients,
            "optimiser": self.optimiser,
            "averaged weights": self.averages,
            "checkpoint": self.checkpoint,
            "activations": self.batch_bytes + round(n_tokens * self.token_bytes),
            "allocator": round(n_tokens * self.held_bytes),
        }

    def total(self, n_tokens: int) -> int:
        return sum(self.parts(n_tokens).values())

    def largest_batch(self, room_bytes: int) -> int:
        """Return the largest batch that takes at most nine tenths of the room.

        The result is a multiple of 1,024 tokens; 0 if 1,024 are too many.

        Args:
            room_bytes: Bytes that training may take.
        """
        nothing, one = self.total(0), self.total(BATCH_MULTIPLE)
        return BATCH_MULTIPLE * max(0, int((USABLE * room_bytes - nothing) // (one - nothing)))

    def as_tried(self, trial: Trial, used_before: int) -> "StepMemory":
        """Return the same with the allocator's share as measured in a trial.

        Args:
            trial: Measurements of some steps.
            used_before: Bytes that the process used before the trial.
        """
        kept = self.batch_bytes + trial.largest_batch * self.token_bytes
        known = used_before + self.weights + self.gradients + self.optimiser + kept
        held = trial.used_bytes - known - (CODE_BYTES if self.code else 0)
        return replace(self, held_bytes=GROWTH * max(0.0, held) / trial.largest_batch)

    def spread(self, strategy: str, n_processes: int) -> "StepMemory":
        """Return what one of several processes takes.

        FSDP divides everything that belongs to weights among the processes. DDP sums gradients in additional
        buffers.

        Args:
            strategy: The strategy of the recipe.
            n_processes: Processes that train together.
        """
        if strategy != "fsdp":
            return replace(self, gradients=(2 if n_processes > 1 else 1) * self.gradients)
        names = ("weights", "gradients", "optimiser", "checkpoint")
        return replace(self, **{name: getattr(self, name) // n_processes for name in names})


def measure_step(
    model: nn.Module, objective: Objective, data: PackedData, recipe: Recipe, compute: Compute
) -> StepMemory:
    """Compute the memory of a step from what two small batches keep in a forward pass.

    Args:
        model: The model, which is copied for this.
        objective: Labels the batches and computes the loss.
        data: The batches of the run.
        recipe: The settings of the run.
        compute: The device and the number format.
    """
    copy = training_copy(model, compute)
    shortened = replace(recipe, max_length=min(recipe.max_length, SAMPLE_LENGTH))
    samples = [
        next(sample_batches(objective, data, replace(shortened, tokens_per_batch=budget))).to(compute.device)
        for budget in SAMPLE_TOKENS
    ]
    few, many = (len(example.batch.tokens) for example in samples)
    of_few, of_many = _kept_bytes(copy, objective, samples, recipe, compute)
    token_bytes = (of_many - of_few) / (many - few) if many > few else of_many / many
    on_cpu = compute.device.type == "cpu"
    weights, optimiser = bytes_of(copy.parameters()), optimizer_bytes(copy, recipe)
    learning = learning_bytes(copy)
    averages = weights if recipe.ema_decay else 0
    return StepMemory(
        weights=weights,
        gradients=learning,
        optimiser=optimiser,
        averages=averages,
        checkpoint=learning + optimiser + averages if on_cpu else 0,  # a checkpoint lies on the host
        code=_code_bytes(compute),
        batch_bytes=max(0, round(of_few - few * token_bytes)),
        token_bytes=token_bytes,
        held_bytes=UNTRIED * token_bytes,
    )


def _code_bytes(compute: Compute) -> int:
    """Return the bytes of code that a CPU loads; a GPU's code is small beside its tensors."""
    if compute.device.type != "cpu":
        return 0
    return CODE_BYTES + (PRIMITIVES_BYTES if compute.dtype is torch.bfloat16 else 0)


def optimizer_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Return the bytes of the optimiser's state: a momentum a weight, and with AdamW a second moment."""
    optimizer = make_optimizer(model, recipe)
    total = 0
    for part in optimizer.parts if isinstance(optimizer, Joined) else (optimizer,):
        n_moments = 1 if isinstance(part, Muon) else 2
        total += n_moments * sum(bytes_of(group["params"]) for group in part.param_groups)
    return total


def learning_bytes(model: nn.Module) -> int:
    """Return the bytes of the weights that learn; a checkpoint keeps only these."""
    return bytes_of(weight for weight in model.parameters() if weight.requires_grad)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _kept_bytes(
    model: nn.Module, objective: Objective, samples: list[Example], recipe: Recipe, compute: Compute
) -> list[int]:
    """Return the bytes that each sample keeps at the end of a forward pass.

    If activations are recomputed, this is the inputs of all blocks, and all activations of one block while it
    is recomputed.
    """
    whole = [_kept_of(model, objective, example, compute) for example in samples]
    if not recipe.activation_checkpointing:
        return whole
    encoder = encoder_of(model)
    recompute_blocks(encoder)
    inputs = [_kept_of(model, objective, example, compute) for example in samples]
    n_blocks = len(encoder.blocks)
    return [part + (every - part) // n_blocks for part, every in zip(inputs, whole, strict=True)]


def _kept_of(model: nn.Module, objective: Objective, example: Example, compute: Compute) -> int:
    """Return the bytes of the tensors that autograd keeps, without the model's own."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # it keeps the storage alive, so that no other gets its address

    with precision(compute), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective.loss(model, example)
    assert loss.requires_grad, "no weight of the model learns"
    return sum(kept.values())


@contextmanager
def memory_named(
    recipe: Recipe, compute: Compute, find_batch_size: Callable[[], int | None]
) -> Iterator[None]:
    """Turn a lack of memory within the ``with`` into an OptionError that names a size of batches that fits.

    Args:
        recipe: The settings of the run.
        compute: The device.
        find_batch_size: Finds that size in tokens. It is called after the failed step's memory was freed.
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
    """Give unused memory back to the system, so that it counts as free.

    Args:
        compute: The device.
    """
    gc.collect()
    give_back_freed_memory()
    if compute.device.type == "cuda":
        torch.cuda.empty_cache()


def _clear_frames(error: BaseException) -> None:
    """Free the tensors of the failed step, which the frames of its error hold."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def _try(find_batch_size: Callable[[], int | None]) -> int | None:
    """Find the size of batches that fits; None if memory is too small even to find it."""
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
        remedy = "Give fewer tokens"
    elif fits == 0:
        remedy = f"Not even {BATCH_MULTIPLE:,} tokens fit: use a smaller model"
    else:
        # The size that failed does not fit, even if the estimate says so.
        below = (budget - 1) // BATCH_MULTIPLE * BATCH_MULTIPLE
        remedy = f"Give {min(fits, below)}, and more {option_of(kind, 'batches_per_step')} instead"
    if not recipe.activation_checkpointing:
        remedy += "; or add --set activation_checkpointing=true"
    return OptionError(what, where=option_of(kind, "tokens_per_batch"), remedy=remedy)
