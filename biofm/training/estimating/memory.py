"""What a step of training takes in memory, part by part; and the error that says so where it is too much."""

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

SAMPLE_TOKENS, SAMPLE_LENGTH = (256, 512), 128  # of the batches that are looked at: small, and enough
BATCH_MULTIPLE = 1024
USABLE = 0.9  # of the memory there is: an estimate is no better

CODE_BYTES = 60 << 20  # on a CPU, measured: what the code of a first step takes

# oneDNN, which multiplies bfloat16 on a CPU, makes a program for every new shape, and keeps the last 1,024 of
# them: as many as 60 steps of packed batches make. So much come beyond those of a trial.
PRIMITIVES_BYTES = 400 << 20

# What an allocator holds in pieces that no tensor fits: as a share of the activations where nothing was
# tried, so that a trial fails on no machine; and how much that grows after the first steps, because batches
# differ in their sizes: by half within a hundred steps.
UNTRIED, GROWTH = 1.0, 1.5

# Of torch's allocator on Linux, and elsewhere; of the C++ library under it; of CUDA and cuBLAS, which take
# memory for themselves; of Apple's MPS.
COMPLAINTS = (
    "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation", "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED", "MPS backend out of memory",
)  # fmt: skip
# Of oneDNN, which says no more; it is for lack of memory where little is left.
ONEDNN_COMPLAINTS = ("could not create a primitive", "could not execute a primitive")
LITTLE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """The bytes that one process takes where it trains.

    ``weights``, ``gradients``, ``optimiser`` (its state), ``averages`` (of the weights), ``checkpoint``
    (while it is written or read) and ``code`` do not depend on the batch. Of a batch, ``batch_bytes`` and
    ``token_bytes`` for each of its tokens are kept for the backward pass, and the allocator holds
    ``held_bytes`` more for each token.
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
        """The bytes of each part at the worst moment, with batches of ``n_tokens`` tokens."""
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
        """The largest batch in tokens, a multiple of 1,024, that takes at most nine tenths of the room; 0
        where 1,024 are too many.
        """
        nothing, one = self.total(0), self.total(BATCH_MULTIPLE)
        return BATCH_MULTIPLE * max(0, int((USABLE * room_bytes - nothing) // (one - nothing)))

    def as_tried(self, trial: Trial, used_before: int) -> "StepMemory":
        """The same, with what the allocator held in ``trial``; the process used ``used_before`` bytes
        before.
        """
        kept = self.batch_bytes + trial.largest_batch * self.token_bytes
        known = used_before + self.weights + self.gradients + self.optimiser + kept
        held = trial.used_bytes - known - (CODE_BYTES if self.code else 0)
        return replace(self, held_bytes=GROWTH * max(0.0, held) / trial.largest_batch)

    def spread(self, strategy: str, n_processes: int) -> "StepMemory":
        """The same in one of several processes: FSDP shares out all that belongs to weights, DDP adds
        gradients up in buffers of their own.
        """
        if strategy != "fsdp":
            return replace(self, gradients=(2 if n_processes > 1 else 1) * self.gradients)
        names = ("weights", "gradients", "optimiser", "checkpoint")
        return replace(self, **{name: getattr(self, name) // n_processes for name in names})


def measure_step(
    model: nn.Module, objective: Objective, data: PackedData, recipe: Recipe, compute: Compute
) -> StepMemory:
    """The memory of a step, reckoned from what two small batches keep as they pass forward through a copy of
    ``model``.
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
        checkpoint=learning + optimiser + averages if on_cpu else 0,  # which is on the host in any case
        code=_code_bytes(compute),
        batch_bytes=max(0, round(of_few - few * token_bytes)),
        token_bytes=token_bytes,
        held_bytes=UNTRIED * token_bytes,
    )


def _code_bytes(compute: Compute) -> int:
    """The bytes of code that a CPU loads; a GPU's are small beside what it computes on."""
    if compute.device.type != "cpu":
        return 0
    return CODE_BYTES + (PRIMITIVES_BYTES if compute.dtype is torch.bfloat16 else 0)


def optimizer_bytes(model: nn.Module, recipe: Recipe) -> int:
    """The bytes of the state of the optimiser: a momentum for each weight, and for AdamW a second moment."""
    optimizer = make_optimizer(model, recipe)
    total = 0
    for part in optimizer.parts if isinstance(optimizer, Joined) else (optimizer,):
        n_moments = 1 if isinstance(part, Muon) else 2
        total += n_moments * sum(bytes_of(group["params"]) for group in part.param_groups)
    return total


def learning_bytes(model: nn.Module) -> int:
    """The bytes of the weights that learn, which are those that a checkpoint keeps."""
    return bytes_of(weight for weight in model.parameters() if weight.requires_grad)


def bytes_of(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _kept_bytes(
    model: nn.Module, objective: Objective, samples: list[Example], recipe: Recipe, compute: Compute
) -> list[int]:
    """The bytes that each sample keeps at the end of a forward pass. Where activations are computed again,
    that is what all blocks keep, and what one of them keeps while it is computed again.
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
    """The bytes of the tensors that autograd keeps, without those of the model itself."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # which holds the storage, so that no other gets its address

    with precision(compute), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = objective.loss(model, example)
    assert loss.requires_grad, "nothing of the model learns"
    return sum(kept.values())


@contextmanager
def memory_named(
    recipe: Recipe, compute: Compute, find_batch_size: Callable[[], int | None]
) -> Iterator[None]:
    """Turn a lack of memory within the ``with`` into an OptionError that names the size of batches which
    would fit. ``find_batch_size`` finds that size, after the memory of the step that failed was freed.
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
    """Give memory that is not used any more back to the system, so that it counts as free."""
    gc.collect()
    give_back_freed_memory()
    if compute.device.type == "cuda":
        torch.cuda.empty_cache()


def _clear_frames(error: BaseException) -> None:
    """Free the tensors of the step that failed, which the frames of the error hold."""
    seen: BaseException | None = error
    while seen is not None:
        traceback.clear_frames(seen.__traceback__)
        seen = seen.__cause__ or seen.__context__


def _try(find_batch_size: Callable[[], int | None]) -> int | None:
    """The size of batches that would fit; None where there is not even the memory to find out."""
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
