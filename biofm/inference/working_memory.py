"""How much memory a run will take, from what the process holds before and after a sample of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from biofm.core.errors import InputError, OptionError
from biofm.core.free_memory import free_bytes
from biofm.core.hardware import peak_resident_bytes, resident_bytes
from biofm.core.units import format_bytes
from biofm.modalities import Item
from biofm.nn import EncoderConfig

FLOAT_BYTES = 4
UNCHECKED_BYTES = 512 << 20
UNCHECKED_TOKENS = 32_768
"""Less is not worth a look at the system, which takes longer than a small protein. So many tokens are a batch
by default on a GPU."""


class MemoryWatch:
    """To be made when the models have just been loaded."""

    def __init__(self) -> None:
        self._loaded, self._peak = resident_bytes(), peak_resident_bytes()
        self._grown = 0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Around a sample of the work. What it adds (kernels compiled at first use, memory that is kept for
        the next batch) a run adds too.
        """
        before = resident_bytes()
        yield
        self._grown = max(0, resident_bytes() - before)

    def parts(self, activations: int, others: Mapping[str, int]) -> dict[str, int]:
        """``activations`` of the largest batch, which the sample may have lacked; 0 on another device."""
        work = {"work of the model": max(self._grown, activations)}
        return {"program and weights": self._loaded} | work | dict(others)

    def highest(self, parts: Mapping[str, int]) -> int:
        """In bytes; loading may have taken more than the run will."""
        return max(self._peak, sum(parts.values()))


def check_memory_of_item(item: Item, n_bytes: int, device: torch.device, units: str) -> None:
    """Raise InputError where an item of so many ``units`` needs more than is free, before it is run."""
    if n_bytes > UNCHECKED_BYTES and (lacking := _lacking(n_bytes, device)):
        what = f"{item.n_units:,} {units} at once need {lacking}"
        remedy = "Give --window 1000 where the verb has it, or remove the record"
        raise InputError(what, where=item.where, remedy=remedy)


def check_memory_of_batch(config: EncoderConfig, dtype: torch.dtype, device: torch.device, n: int) -> None:
    """Raise OptionError where a batch of ``n`` tokens needs more than is free. Of few nobody asks: it would
    cost each small batch a look at the system.
    """
    if n > UNCHECKED_TOKENS and (lacking := _lacking(activation_bytes(config, dtype, n), device)):
        what = f"a batch of {n:,} tokens needs {lacking}"
        raise OptionError(what, where="--tokens-per-batch", remedy="Give less, or leave it out")


def _lacking(n_bytes: int, device: torch.device) -> str:
    """What is needed and what there is, if that is less."""
    there = free_on(device)
    if there is None or n_bytes <= there:
        return ""
    return f"{format_bytes(n_bytes)} of memory, and {format_bytes(there)} are free"


def free_on(device: torch.device) -> int | None:
    """Bytes that are free where a model runs; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return free_bytes() if device.type == "cpu" else None


def activation_bytes(config: EncoderConfig, dtype: torch.dtype, n_tokens: int) -> int:
    """What a batch takes at the widest moment of a block, its feed-forward: the stream, its norm, what
    goes up and through the activation; and the rows that come out.
    """
    wide = 4 if config.feedforward == "swiglu" else 2
    token_bytes = (2 * config.d_model + wide * config.d_feedforward) * dtype.itemsize
    return n_tokens * (token_bytes + FLOAT_BYTES * config.d_model)
