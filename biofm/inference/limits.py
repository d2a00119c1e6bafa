"""Limits: how long a sequence a model accepts, and how much memory a run needs and finds.

Lengths are in units of the sequence, such as residues, without the special tokens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from biofm.core.errors import InputError, OptionError
from biofm.core.memory import free_bytes, peak_resident_bytes, resident_bytes
from biofm.core.text import format_bytes
from biofm.modalities import Item, Tokenizer
from biofm.nn import EncoderConfig

FLOAT_BYTES = 4

# Asking the system how much memory is free takes longer than running a small protein, so less work than this
# starts without asking. By default a batch on a GPU has exactly so many tokens.
UNCHECKED_BYTES = 512 << 20
UNCHECKED_TOKENS = 32_768


def longest_of(config: EncoderConfig, tokenizer: Tokenizer) -> int | None:
    """The most units that the model's learned positions hold; None where it has no such positions."""
    return None if config.max_length is None else config.max_length - tokenizer.n_special


def check_length(item: Item, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raise InputError where the item is longer than the model's learned positions."""
    longest, n_units = longest_of(config, tokenizer), item.n_units
    if longest is not None and n_units > longest:
        units = tokenizer.modality.words.units
        raise InputError(
            f"{n_units:,} {units}, and the model has learned positions for {longest:,}",
            where=item.where,
            remedy=f"Give --window {longest}",
        )


def check_window(window: int | None, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raise OptionError where a window of so many units is longer than the model's learned positions."""
    longest = longest_of(config, tokenizer)
    if window is not None and longest is not None and window > longest:
        units = tokenizer.modality.words.units
        what = f"{window} {units} are more than the model has learned positions for"
        raise OptionError(what, where="--window", remedy=f"Give at most {longest}")


def run_whole(trained_length: int, tokenizer: Tokenizer) -> str:
    """The notice that counts sequences longer than those the model was trained on, which are run whole.

    ``trained_length`` is in tokens, the special ones included.
    """
    longest, units = trained_length - tokenizer.n_special, tokenizer.modality.words.units
    return f"sequences longer than the {longest} {units} of the model's training, run whole"


def check_memory_of_item(item: Item, n_bytes: int, device: torch.device, units: str) -> None:
    """Raise InputError where an item, whose length is in ``units``, needs ``n_bytes`` and fewer are free."""
    if n_bytes > UNCHECKED_BYTES and (lacking := _lacking(n_bytes, device)):
        what = f"{item.n_units:,} {units} at once need {lacking}"
        remedy = "Give --window 1000 where the verb has it, or remove the record"
        raise InputError(what, where=item.where, remedy=remedy)


def check_memory_of_batch(config: EncoderConfig, dtype: torch.dtype, device: torch.device, n: int) -> None:
    """Raise OptionError where a batch of ``n`` tokens needs more memory than is free."""
    if n > UNCHECKED_TOKENS and (lacking := _lacking(activation_bytes(config, dtype, n), device)):
        what = f"a batch of {n:,} tokens needs {lacking}"
        raise OptionError(what, where="--tokens-per-batch", remedy="Give less, or leave it out")


def _lacking(n_bytes: int, device: torch.device) -> str:
    """How much is needed and how much is free, in words; empty where that is enough, or not known."""
    free = _free_on(device)
    if free is None or n_bytes <= free:
        return ""
    return f"{format_bytes(n_bytes)} of memory, and {format_bytes(free)} are free"


def _free_on(device: torch.device) -> int | None:
    """Bytes that are free where a model runs; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return free_bytes() if device.type == "cpu" else None


def activation_bytes(config: EncoderConfig, dtype: torch.dtype, n_tokens: int) -> int:
    """Bytes that a batch takes at the widest moment of a block, its feed-forward.

    They are the residual stream, its norm, what enters and leaves the activation, and the float32 rows that
    come out.
    """
    wide = 4 if config.feedforward == "swiglu" else 2
    token_bytes = (2 * config.d_model + wide * config.d_feedforward) * dtype.itemsize
    return n_tokens * (token_bytes + FLOAT_BYTES * config.d_model)


class MemoryWatch:
    """Measures what a process holds, to estimate what a run will take. Make it when the models are loaded."""

    def __init__(self) -> None:
        self._loaded, self._peak = resident_bytes(), peak_resident_bytes()
        self._grown = 0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Measure how much a sample of the work adds.

        A run adds that too: kernels that are compiled at first use, and memory that is kept for the next
        batch.
        """
        before = resident_bytes()
        yield
        self._grown = max(0, resident_bytes() - before)

    def parts(self, activations: int, others: Mapping[str, int]) -> dict[str, int]:
        """The parts of a run's memory on the host, in bytes, by name.

        ``activations``: those of the largest batch, which the sample may not have held; 0 where the model
        runs on another device. ``others``: further parts.
        """
        work = {"work of the model": max(self._grown, activations)}
        return {"program and weights": self._loaded} | work | dict(others)

    def highest(self, parts: Mapping[str, int]) -> int:
        """The highest memory of the run in bytes: the sum of its parts or, if more, the peak of loading."""
        return max(self._peak, sum(parts.values()))
