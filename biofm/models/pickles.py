"""Reads pickles of PyTorch as data: tensors and plain containers, by torch's restricted unpickler."""

import pickle
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import _weights_only_unpickler as unpickler

LONGEST_MESSAGE = 2_000  # characters
LONGEST_NAME = 200

# Exceptions of torch's reader for bytes that are not a pickle of tensors, found by flipping bytes.
DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)

_FOREIGN = re.compile(rf"GLOBAL ([\w.]{{1,{LONGEST_NAME}}})")


def load_data(file: Path | BinaryIO, *, mmap: bool = False) -> Any:
    """Return the content of a file of ``torch.save``, on the CPU.

    Args:
        file: The path, or the opened file.
        mmap: Whether tensors are read only when they are used.

    Raises one of ``DAMAGED`` if the file is damaged or holds more than data; ``foreign_name`` then returns
    what it holds.
    """
    with _short_messages():
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)


def foreign_name(error: BaseException) -> str:
    """Return the class or function that a refused pickle names; empty for any other error."""
    found = _FOREIGN.search(str(error)[:LONGEST_MESSAGE])
    return found[1] if found else ""


class _ShortError(pickle.UnpicklingError):
    def __str__(self) -> str:
        return super().__str__()[:LONGEST_MESSAGE]


@contextmanager
def _short_messages() -> Iterator[None]:
    """Shorten the messages of unpickling errors within the ``with``.

    torch (2.11 to 2.15) searches these messages, which hold names from the file, by an expression that takes
    quadratic time: a name of 400 kB kept it busy for two minutes.
    """
    names = vars(unpickler)
    original = names.get("UnpicklingError", pickle.UnpicklingError)
    names["UnpicklingError"] = _ShortError
    try:
        yield
    finally:
        names["UnpicklingError"] = original
