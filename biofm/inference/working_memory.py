"""How much memory a run will take, from what the process holds before and after a sample of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from biofm.core.hardware import peak_resident_bytes, resident_bytes
from biofm.nn import EncoderConfig

FLOAT_BYTES = 4


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


def activation_bytes(config: EncoderConfig, dtype: torch.dtype, n_tokens: int) -> int:
    """What a batch takes at the widest moment of a block, its feed-forward: the stream, its norm, what
    goes up and through the activation; and the rows that come out.
    """
    wide = 4 if config.feedforward == "swiglu" else 2
    token_bytes = (2 * config.d_model + wide * config.d_feedforward) * dtype.itemsize
    return n_tokens * (token_bytes + FLOAT_BYTES * config.d_model)
