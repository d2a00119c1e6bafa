"""Every fault that a user can cause or mend.

    BiofmError
    ├── InputError         a file or a record that biofm was given to read
    ├── OutputError        a file or a folder that biofm was asked to write
    ├── ModelError         a model's name, or the files of a checkpoint
    ├── OptionError        an option whose value does not fit
    ├── RefusedError       the policy said no
    ├── LedgerError        the record of what was done cannot be kept
    ├── ProcessError       a process of a run that is gone
    └── MissingExtraError  an optional part that is not installed

Each says what was wrong, where (file, record, line), and what to do next. A fault of the program itself is an
``assert``.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from biofm_datasets import DataError

from biofm.core.text import shown


class BiofmError(Exception):
    """A fault with a remedy: ``where: what. remedy``, in which names from files are safe to be printed."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        whole = f"{message}. {remedy}" if remedy else message
        super().__init__(shown(" ".join(whole.split("\n"))))


class InputError(BiofmError):
    """A file or a record that biofm was given to read."""


class OutputError(BiofmError):
    """A file or a folder that biofm was asked to write."""


class ModelError(BiofmError):
    """A model's name, or the files of a checkpoint."""


class OptionError(BiofmError):
    """An option whose value does not fit."""


class RefusedError(BiofmError):
    """The policy said no."""


class LedgerError(BiofmError):
    """The record of what was done cannot be kept."""


class ProcessError(BiofmError):
    """A process of a run that is gone."""


class MissingExtraError(BiofmError):
    """An optional part that is not installed."""


@contextmanager
def data_errors(kind: type[BiofmError]) -> Iterator[None]:
    """Turn a ``DataError`` of biofm_datasets, which knows nothing of biofm, into an error of this kind."""
    try:
        yield
    except DataError as error:
        fault = kind(error.what, where=error.where, remedy=error.remedy)
        for note in getattr(error, "__notes__", ()):
            fault.add_note(note)
        raise fault from error


def input_errors() -> AbstractContextManager[None]:
    """Turn a reader's ``DataError`` into an ``InputError``."""
    return data_errors(InputError)
