"""Errors: one class for each kind of fault that a user can cause or correct.

    BiofmError
    ├── InputError         an input file or one of its records is wrong
    ├── OutputError        an output file or folder cannot be written
    ├── ModelError         a model's name or its checkpoint is wrong
    ├── OptionError        an option has a wrong value
    ├── RefusedError       the policy refuses the request
    ├── LedgerError        the ledger cannot be written
    ├── ProcessError       a process of a run has died
    └── MissingExtraError  an optional package is not installed

Each error says what is wrong, where (file, record, line), and what to do next. Faults of the program itself
are ``assert`` statements.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from biofm_datasets import DataError

from biofm.core.text import shown


class BiofmError(Exception):
    """Says what is wrong and what to do, as ``where: what. remedy``.

    Characters that could steer a terminal, such as those of names from files, are spelled out.

    Args:
        what: What is wrong, in lower case and without a full stop.
        where: The file, record or line, or the option, at fault. Empty leaves it out.
        remedy: What to do next, as a sentence without a full stop. Empty leaves it out.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        message = f"{where}: {what}" if where else what
        whole = f"{message}. {remedy}" if remedy else message
        super().__init__(shown(" ".join(whole.split("\n"))))


class InputError(BiofmError):
    """Says that an input file, or one of its records, cannot be read or is wrong."""


class OutputError(BiofmError):
    """Says that an output file or folder cannot be written."""


class ModelError(BiofmError):
    """Says that a model's name is unknown, or that its checkpoint cannot be used."""


class OptionError(BiofmError):
    """Says that an option has a value that is not allowed."""


class RefusedError(BiofmError):
    """Says that the policy refused the request."""


class LedgerError(BiofmError):
    """Says that the ledger cannot be written."""


class ProcessError(BiofmError):
    """Says that a process of a run has died."""


class MissingExtraError(BiofmError):
    """Says that an optional package is not installed."""


def how_to_install(extra: str) -> str:
    """Return the remedy of a MissingExtraError: a sentence with the command that installs an extra of biofm.

    Args:
        extra: The name of the extra.
    """
    return f"In the checkout of biofm, run: pip install --constraint constraints.txt '.[{extra}]'"


@contextmanager
def data_errors(kind: type[BiofmError]) -> Iterator[None]:
    """Turn a ``DataError`` within the ``with`` into an error of this kind.

    biofm_datasets raises ``DataError`` because it does not know the errors of biofm.
    """
    try:
        yield
    except DataError as error:
        fault = kind(error.what, where=error.where, remedy=error.remedy)
        for note in getattr(error, "__notes__", ()):
            fault.add_note(note)
        raise fault from error


def input_errors() -> AbstractContextManager[None]:
    """Turn a ``DataError`` within the ``with`` into an ``InputError``."""
    return data_errors(InputError)
