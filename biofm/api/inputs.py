"""Inputs: which files a caller names, and how they are read.

A table or a dictionary in memory is refused as an input file: its keys would be taken for the names of files.
"""

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from biofm_datasets.protein import Gaps

from biofm.core.choices import OnError
from biofm.core.errors import InputError, OptionError

if TYPE_CHECKING:
    from biofm.modalities import RecordOptions

STANDARD_STREAM = Path("-")
"""The path that stands for standard input as an input, and for standard output as an output."""
_REMEDY = "Write it into a file first, or use the methods of a loaded model (biofm.load) for data in memory"


def path_of(value: Any) -> Path:
    """Return the path of an input, or raise InputError for a value that is no path, such as a table."""
    if not isinstance(value, str | PathLike):
        what = f"this must be a path, not a value of the type {type(value).__name__}"
        raise InputError(what, where="the input", remedy=_REMEDY)
    return Path(value)


def paths_of(values: Any) -> tuple[Path, ...]:
    """Return the paths of one or several inputs, or raise InputError for a value that is no path."""
    is_one = isinstance(values, str | PathLike | Mapping) or hasattr(type(values), "columns")
    if is_one or not isinstance(values, Iterable):
        return (path_of(values),)
    return tuple(map(path_of, values))


def name_of_input(path: str | Path) -> str:
    """Return the name of an input for messages."""
    return "standard input" if Path(path) == STANDARD_STREAM else str(Path(path))


class ReadsRecords(Protocol):
    """Is a verb with the options that say how records are read."""

    @property
    def format(self) -> str | None: ...
    @property
    def column(self) -> str | None: ...
    @property
    def id_column(self) -> str | None: ...
    @property
    def modality(self) -> str | None: ...
    @property
    def on_error(self) -> OnError: ...


def reading_of(asked: ReadsRecords, gaps: Gaps) -> "RecordOptions":
    """Return how the records of a verb's input are read, or raise OptionError for an unknown word."""
    from biofm.modalities import RecordOptions  # brings numpy

    return RecordOptions(
        format=asked.format,
        column=asked.column,
        id_column=asked.id_column,
        on_error=asked.on_error,
        gaps=gaps,
        modality=asked.modality,
    )


def refuse_resume(resume: bool) -> None:
    """Raise OptionError if an estimate is asked for with ``resume``: it estimates whole runs only."""
    if resume:
        what = "an estimate is always for a whole run"
        raise OptionError(what, where="--estimate", remedy="Leave out --resume")
