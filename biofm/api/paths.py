"""The input files that a caller names. A table or a dictionary is none: its keys would be taken for names."""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from biofm.core.errors import InputError

_REMEDY = "Write it into a file first; the methods of a loaded model (biofm.load) take sequences in memory"


def path_of(value: Any) -> Path:
    """The path of an input. Raises InputError for what is none, such as a table in memory."""
    if not isinstance(value, str | PathLike):
        what = f"a path belongs here, not a value of the type {type(value).__name__}"
        raise InputError(what, where="the input", remedy=_REMEDY)
    return Path(value)


def paths_of(values: Any) -> tuple[Path, ...]:
    """The paths of one or several inputs. Raises InputError as ``path_of`` does."""
    is_one = isinstance(values, str | PathLike | Mapping) or hasattr(type(values), "columns")
    if is_one or not isinstance(values, Iterable):
        return (path_of(values),)
    return tuple(map(path_of, values))
