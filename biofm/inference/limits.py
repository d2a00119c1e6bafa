"""Limits: how long a sequence a model accepts, and how much memory a run needs.

Lengths are in units of the sequence, such as residues, without the special tokens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from biofm_datasets.text import format_count

from biofm.core.errors import InputError, OptionError
from biofm.core.memory import free_bytes, peak_resident_bytes, resident_bytes
from biofm.core.text import format_bytes
from biofm.modalities import Item, Tokenizer
from biofm.nn import EncoderConfig

FLOAT_BYTES = 4

# Asking the system how much memory is free takes longer than running a small protein, so work below these
# limits starts without asking. By default, a batch on a GPU has exactly UNCHECKED_TOKENS tokens.
UNCHECKED_BYTES = 512 << 20
UNCHECKED_TOKENS = 32_768


def longest_of(config: EncoderConfig, tokenizer: Tokenizer) -> int | None:
    """Return the most units that the model's learned positions hold; None for a model without them."""
    return None if config.max_length is None else config.max_length - tokenizer.n_special


def check_length(item: Item, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raise InputError if an item is longer than the model's learned positions.

    Args:
        item: The sequence to check.
        config: The model's shape, with its number of learned positions.
        tokenizer: The model's tokenizer, which adds special tokens to the length.
    """
    longest, n_units = longest_of(config, tokenizer), item.n_units
    if longest is not None and n_units > longest:
        words = tokenizer.modality.words
        n = format_count(n_units, words.unit, words.units)
        what = f"{n}, but the model has learned positions for {longest:,} only"
        raise InputError(what, where=item.where, remedy=f"Give --window {longest}")


def check_window(window: int | None, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raise OptionError if a window is longer than the model's learned positions.

    Args:
        window: Length of the window in units. None, for no windows, always passes.
        config: The model's shape, with its number of learned positions.
        tokenizer: The model's tokenizer, which adds special tokens to the length.
    """
    longest = longest_of(config, tokenizer)
    if window is not None and longest is not None and window > longest:
        units = tokenizer.modality.words.units
        what = f"{window:,} {units} are more than the model has learned positions for"
        raise OptionError(what, where="--window", remedy=f"Give at most {longest}")


def run_whole(trained_length: int, tokenizer: Tokenizer) -> str:
    """Return the notice for sequences that are longer than those of the model's training, and are run whole.

    Args:
        trained_length: Length of the sequences of training in tokens, special tokens included.
        tokenizer: The model's tokenizer, which knows the number of special tokens.
    """
    longest, units = trained_length - tokenizer.n_special, tokenizer.modality.words.units
    return f"sequences longer than the {longest} {units} of the model's training, run whole"


def check_memory_of_item(item: Item, n_bytes: int, device: torch.device, units: str) -> None:
    """Raise InputError if one item, whose length is in ``units``, needs more memory than is free."""
    if n_bytes > UNCHECKED_BYTES and (lacking := _lacking(n_bytes, device)):
        what = f"to run {item.n_units:,} {units} at once takes {lacking}"
        remedy = "Give --window 1000 if the command has that option, or remove the record"
        raise InputError(what, where=item.where, remedy=remedy)


def check_memory_of_batch(config: EncoderConfig, dtype: torch.dtype, device: torch.device, n: int) -> None:
    """Raise OptionError if a batch of ``n`` tokens needs more memory than is free."""
    if n > UNCHECKED_TOKENS and (lacking := _lacking(activation_bytes(config, dtype, n), device)):
        what = f"a batch of {format_count(n, 'token')} takes {lacking}"
        raise OptionError(what, where="--tokens-per-batch", remedy="Give fewer tokens, or leave it out")


def _lacking(n_bytes: int, device: torch.device) -> str:
    """Describe how much memory is needed and how much is free; return "" if it suffices or is unknown."""
    free = _free_on(device)
    if free is None or n_bytes <= free:
        return ""
    return f"{format_bytes(n_bytes)} of memory, but only {format_bytes(free)} are free"


def _free_on(device: torch.device) -> int | None:
    """Return the number of bytes that are free where a model runs; None where this is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return free_bytes() if device.type == "cpu" else None


def activation_bytes(config: EncoderConfig, dtype: torch.dtype, n_tokens: int) -> int:
    """Return the bytes that a batch takes in the feed-forward of a block, where it takes most.

    They hold the residual stream, its norm, the input and the output of the activation function, and the
    float32 rows of the result.

    Args:
        config: The model's shape.
        dtype: The dtype in which the model runs.
        n_tokens: The number of tokens of the batch.
    """
    wide = 4 if config.feedforward == "swiglu" else 2
    token_bytes = (2 * config.d_model + wide * config.d_feedforward) * dtype.itemsize
    return n_tokens * (token_bytes + FLOAT_BYTES * config.d_model)


class MemoryWatch:
    """Measures the memory of this process, to estimate what a run will take.

    Create it when the models are loaded, before any other work.
    """

    def __init__(self) -> None:
        self._loaded, self._peak = resident_bytes(), peak_resident_bytes()
        self._grown = 0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Measure how much memory a sample of the work adds.

        A run adds as much: kernels are compiled at their first use, and freed memory is kept for the next
        batch.
        """
        before = resident_bytes()
        yield
        self._grown = max(0, resident_bytes() - before)

    def parts(self, activations: int, others: Mapping[str, int]) -> dict[str, int]:
        """Return the parts of a run's memory on the host, in bytes, by name.

        Args:
            activations: Bytes of the largest batch of the run, which the sample may not have held; 0 where
                the model runs on another device.
            others: Further parts, by name.
        """
        work = {"work of the model": max(self._grown, activations)}
        return {"program and weights": self._loaded} | work | dict(others)

    def highest(self, parts: Mapping[str, int]) -> int:
        """Return the highest memory of a run in bytes: the sum of its parts or, if more, the peak of loading.

        Args:
            parts: The parts of the run's memory in bytes, by name.
        """
        return max(self._peak, sum(parts.values()))
