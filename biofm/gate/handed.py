"""What a permit hands to a confined worker, and how the worker asks the gate for it.

The gate stays outside: the verdict, the ledger, the opening and the naming of files are the parent's. In the
worker ``ask`` finds the permit of the verb among what was handed over, and refuses any other request.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir
from typing import BinaryIO, cast

from biofm.core.errors import OutputError, RefusedError
from biofm.core.journal import Journal
from biofm.gate.carried import MadeFrom
from biofm.gate.outputs import MORE_SPACE
from biofm.gate.partial import BUFFER_BYTES, WatchedFile
from biofm.gate.permit import Permit, write_faults
from biofm.gate.scratch import Scratch
from biofm.policy import Request
from biofm.policy.labels import labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedFile:
    """Holds an opened file.

    Attributes:
        descriptor: Its descriptor.
        path: The path by which the user named it.
    """

    descriptor: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Holds what a worker gets of the permits of one verb.

    Attributes:
        verb: The verb.
        reads: The files that are read, by role.
        files: The files that are written, by role.
        folders: The folders that are written, by role.
        journals: The journals, by role.
        models: For each model its files by their names.
        places: For each model its file or folder, for messages.
        labels: The letters of the labels that the outputs have.
    """

    verb: str
    reads: dict[str, tuple[HandedFile, ...]]
    files: dict[str, HandedFile]
    folders: dict[str, str]
    journals: dict[str, str]
    models: dict[str, dict[str, HandedFile]]
    places: dict[str, str]
    labels: str = ""

    def read(self) -> Iterator[HandedFile]:
        """Yield every file that is read, those of models too."""
        for several in self.reads.values():
            yield from several
        for named in self.models.values():
            yield from named.values()


_HANDED: list[Handed] = []  # one in a worker, none elsewhere


def take(handed: Handed) -> None:
    """Make this process a worker, which has nothing but what is handed to it.

    Args:
        handed: What it gets.
    """
    assert not _HANDED, "a worker works for one verb"
    _HANDED.append(handed)


def model_in_worker(name: str) -> tuple[dict[str, BinaryIO], str] | None:
    """Return the opened files of a model and its place, or None outside a worker.

    Args:
        name: The name of the model, as the verb was given it.

    Raises:
        RefusedError: The model was not handed to this worker.
    """
    if not _HANDED:
        return None
    (handed,) = _HANDED
    if name not in handed.models:
        raise RefusedError("the worker may not open this model", where=name)
    return {file: opened_to_read(one) for file, one in handed.models[name].items()}, handed.places[name]


def handed_for(request: Request) -> Handed | None:
    """Return what this worker was handed for a request, or None outside a worker.

    Args:
        request: The request.

    Raises:
        RefusedError: The worker works for another verb.
    """
    if not _HANDED:
        return None
    (handed,) = _HANDED
    if request.verb != handed.verb:
        raise RefusedError("a confined worker may not ask for more than its verb", where=request.verb)
    return handed


def opened_to_read(file: HandedFile) -> BinaryIO:
    """Return a file that was handed over as a stream, which has the user's name for it.

    Args:
        file: The file.
    """
    raw = io.FileIO(file.descriptor, "r", closefd=False)
    raw.name = file.path  # Messages give it; it is the number otherwise.
    return cast(BinaryIO, io.BufferedReader(raw))


@contextmanager
def permit_in_worker(request: Request, handed: Handed) -> Iterator[Permit]:
    """Give the permit of a worker. The parent gives the outputs their names.

    Args:
        request: The request.
        handed: What the worker was handed for it.

    Raises:
        OutputError: An output cannot be written.
    """
    with ExitStack() as opened:
        targets = _Targets(
            files={role: HandedOutput(one) for role, one in handed.files.items()},
            folders={role: Path(folder) for role, folder in handed.folders.items()},
            journals={role: Journal(Path(path)) for role, path in handed.journals.items()},
        )
        for journal in targets.journals.values():
            opened.callback(journal.close)
        readers = {role: tuple(map(opened_to_read, several)) for role, several in handed.reads.items()}
        with write_faults(targets):
            yield Permit(
                readers,
                targets,
                opened,
                {},
                request.hosts,
                _no_worker,
                MadeFrom(labels_of(handed.labels)),
                Path(gettempdir()),
            )
            for file in targets.files.values():
                file.finish()


def _no_worker(worker: object) -> None:
    raise RefusedError("a worker starts no worker")


class HandedOutput:
    """Writes a file that was handed over. The parent gives it its name.

    Args:
        file: The file, opened for reading and writing.
    """

    def __init__(self, file: HandedFile) -> None:
        self._path = file.path
        self._raw = WatchedFile(file.descriptor, "r+b", closefd=False)
        self.handle = cast(BinaryIO, io.BufferedRandom(self._raw, BUFFER_BYTES))

    def check(self) -> None:
        """Raise OutputError if a write has failed, even if a library in between has hidden the failure."""
        if fault := self._raw.fault:
            what = f"writing failed ({fault.strerror})"
            raise OutputError(what, where=self._path, remedy=MORE_SPACE)

    def finish(self) -> None:
        """Write every byte to the file."""
        try:
            self.handle.close()
        except OSError as error:
            self._raw.fault = self._raw.fault or error
        self.check()


@dataclass(frozen=True, slots=True)
class _Targets:
    """Holds what a worker writes, by role. Unfinished work is the parent's: the worker has its journal."""

    files: Mapping[str, HandedOutput]
    folders: Mapping[str, Path]
    journals: Mapping[str, Journal]
    works: Mapping[str, Scratch] = field(default_factory=dict)
