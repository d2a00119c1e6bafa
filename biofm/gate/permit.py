"""A permit: the files and folders that an allowed request may touch, already opened."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from biofm.core.errors import BiofmError, InputError, OutputError
from biofm.core.journal import Journal
from biofm.gate.inputs import STANDARD_INPUT, allow_open_files, open_input, watch
from biofm.gate.outputs import check_space, open_folder
from biofm.gate.partial import PartialFile
from biofm.gate.scratch import Scratch
from biofm.gate.standard_output import StandardOutput
from biofm.policy import ESTIMATE, UNFINISHED, Request, Target, TargetKind


class Permit:
    """The opened files of a request, by role. They stay open until the ``with`` of ``ask`` ends."""

    def __init__(
        self,
        readers: Mapping[str, tuple[BinaryIO, ...]],
        targets: "_OpenTargets",
        opened: ExitStack,
        watched: Mapping[str, Sequence[Callable[[], None]]],
    ) -> None:
        self._readers = readers
        self._targets = targets
        self._opened = opened
        self._watched = dict(watched)

    def reader(self, role: str) -> BinaryIO:
        """Return the one file that is read in this role, at its first byte. It can seek unless it is a
        stream.
        """
        (reader,) = self._readers[role]
        return reader

    def readers(self, role: str) -> tuple[BinaryIO, ...]:
        """Return the files that are read in this role, in the request's order."""
        return self._readers[role]

    def check_unchanged(self) -> None:
        """Raise InputError if a file was changed since it was opened. Called at the end of a run, before any
        output gets its name.
        """
        for role in tuple(self._watched):
            self.let_go(role)

    def let_go(self, role: str) -> None:
        """Stop watching the files of this role: all that is wanted of them is read. Raises InputError if one
        of them has changed already.
        """
        for check in self._watched.pop(role, ()):
            check()

    def writer(self, role: str) -> BinaryIO:
        """Return a seekable, readable and writable file, which gets its name when the ``with`` ends without a
        fault.
        """
        return self._targets.files[role].handle

    def folder(self, role: str) -> Path:
        """Return a folder that exists and can be written. What was written into it stays, even after a
        fault.
        """
        return self._targets.folders[role]

    def journal(self, role: str) -> Journal:
        """Return a journal. What is committed to it outlives a fault, for a run that resumes."""
        return self._targets.journals[role]

    def journals(self, role: str) -> tuple[Journal, ...]:
        """Return the files that are read in this role, opened as journals.

        Raises InputError: a file is no journal.
        """
        found = [Journal(Path(reader.name), read_only=True) for reader in self._readers[role]]
        for journal in found:
            self._opened.callback(journal.close)
        return tuple(found)


@contextmanager
def open_permit(request: Request) -> Iterator[Permit]:
    """Open what the request reads, then what it writes. At the end give the written files their names; at any
    exception discard them.

    Raises:
        InputError: A file cannot be read, or is changed during the ``with``.
        OutputError: A target cannot be written, now or during the ``with``.
    """
    allow_open_files(2 * sum(map(len, request.reads.values())))  # a journal is opened once more
    with ExitStack() as opened:
        readers = {role: _open_readers(request, role, opened) for role in request.reads}
        watched = {
            role: [watch(reader, path) for reader, path in zip(readers[role], paths, strict=True)]
            for role, paths in request.reads.items()
        }
        _check_apart(request)
        targets = _OpenTargets(request.writes, opened)
        permit = Permit(readers, targets, opened, watched)
        opened.enter_context(_vanished_folders_named(request))
        with _write_faults(targets), _changed_files_named(permit):
            yield permit
        permit.check_unchanged()
        targets.publish()


class _OpenTargets:
    """What a request writes into, opened, by role: files, folders, and unfinished work with its journal.

    ``opened`` closes and discards at its end what was opened here and not published.
    """

    def __init__(self, writes: Mapping[str, Target], opened: ExitStack) -> None:
        self.files: dict[str, PartialFile | StandardOutput] = {}
        self.folders: dict[str, Path] = {}
        self.works: dict[str, Scratch] = {}
        self.journals: dict[str, Journal] = {}
        self._opened = opened
        # Unfinished work comes first: its journal says which files at the targets are the run's own.
        for role, target in sorted(writes.items(), key=lambda item: item[1].kind not in UNFINISHED):
            OPENERS[target.kind](self, role, target)

    def open_file(self, role: str, target: Target) -> None:
        ours = [it.noted_outputs[role] for it in self.journals.values() if role in it.noted_outputs]
        self.files[role] = PartialFile(target, *ours)
        self._opened.callback(self.files[role].discard)

    def open_stream(self, role: str, target: Target) -> None:
        self.files[role] = StandardOutput()
        self._opened.callback(self.files[role].discard)

    def open_folder(self, role: str, target: Target) -> None:
        self.folders[role] = open_folder(target)

    def open_work(self, role: str, target: Target) -> None:
        self.works[role] = self._opened.enter_context(Scratch(target))
        self.journals[role] = self.works[role].open()

    def publish(self) -> None:
        """End the run, in an order in which it may be killed at any point:

        1. every output is brought to the disk, whole, under a hidden name;
        2. the journal notes the identity of these files;
        3. they get their names, the first of the request last: where the output is, what stands beside it is;
        4. the unfinished work is removed, or becomes the output;
        5. the ledger is told (``biofm.gate.gate``).

        Killed before 2, the run goes on from its work. Killed before 4, it writes its outputs once more, and
        may replace those that the journal noted. Killed later, it finds an output of its own and nothing to
        do.
        """
        for file in self.files.values():
            file.finish()
        for work in self.works.values():
            work.note_outputs({role: file.identity for role, file in self.files.items()})
        for file in reversed(tuple(self.files.values())):
            file.publish()
        for work in self.works.values():
            work.publish()


OPENERS: Mapping[TargetKind, Callable[[_OpenTargets, str, Target], None]] = {
    "file": _OpenTargets.open_file,
    "stream": _OpenTargets.open_stream,
    "directory": _OpenTargets.open_folder,
    "scratch": _OpenTargets.open_work,
    "temporary": _OpenTargets.open_work,
    "journal": _OpenTargets.open_work,
}
"""How a target of each kind is opened."""


def _open_readers(request: Request, role: str, opened: ExitStack) -> tuple[BinaryIO, ...]:
    """Open the files read in this role. A role that is read once may come through standard input or a pipe.

    An estimate does not take a pipe: what it read of one would be missing to the run.
    """
    takes_standard_input = role in request.once
    streams = takes_standard_input and request.verb != ESTIMATE
    readers = []
    for path in request.reads[role]:
        if path == STANDARD_INPUT and not takes_standard_input:
            what = "standard input can be read once and in order alone, and this is read otherwise"
            remedy = "Write what comes through it into a file first"
            raise InputError(what, where="-", remedy=remedy)
        reader = open_input(path, streams=streams)
        if path != STANDARD_INPUT:
            opened.callback(reader.close)
        readers.append(reader)
    return tuple(readers)


def _check_apart(request: Request) -> None:
    """Raise OutputError where an output is also an input or another output, which it would destroy."""
    inputs = {os.path.realpath(path) for paths in request.reads.values() for path in paths}
    outputs: set[str] = set()
    for target in request.writes.values():
        if target.kind == "stream":
            continue
        place = os.path.realpath(target.path)
        if place in inputs | outputs:
            what = "this file is also read" if place in inputs else "this is written twice"
            raise OutputError(what, where=str(target.path), remedy="Choose another name for the output")
        outputs.add(place)


@contextmanager
def _changed_files_named(permit: Permit) -> Iterator[None]:
    """Name a file that changed while it was read as the fault, whatever its reader raised."""
    try:
        yield
    except Exception as error:
        try:
            permit.check_unchanged()
        except InputError as changed:
            raise _noted_as(changed, error) from error
        raise


@contextmanager
def _vanished_folders_named(request: Request) -> Iterator[None]:
    """Name a folder that was removed while it was written into as the fault, whatever its writer raised."""
    try:
        yield
    except Exception as error:
        for target in request.writes.values():
            if target.kind == "stream":
                continue
            folder = target.path if target.kind == "directory" else target.path.parent
            if not os.path.isdir(folder):
                what = "this folder has gone during the run: it was removed, or its disk was"
                fault = OutputError(what, where=str(folder), remedy="Make it again, and repeat the command")
                raise _noted_as(fault, error) from error
        raise


def _noted_as(fault: BiofmError, error: Exception) -> BiofmError:
    """Give ``fault`` the notes of the error in whose place it is raised."""
    for note in getattr(error, "__notes__", ()):  # such as what work is kept
        fault.add_note(note)
    return fault


@contextmanager
def _write_faults(targets: _OpenTargets) -> Iterator[None]:
    """Name the target of a fault of writing, whatever the libraries in between raised."""
    try:
        yield
    except BiofmError:
        raise
    except Exception as error:  # of any kind: HDF5 and Arrow have their own
        for file in targets.files.values():
            file.check()
        if isinstance(error, OSError):
            check_space(tuple(targets.folders.values()), error)
        raise
