"""A permit holds the files and folders that an allowed request may use, already opened."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from biofm.core.errors import BiofmError, InputError, OutputError
from biofm.core.journal import Journal
from biofm.gate.carried import MadeFrom
from biofm.gate.inputs import STANDARD_INPUT, allow_open_files, open_input, watch
from biofm.gate.outputs import check_space, open_folder
from biofm.gate.partial import PartialFile
from biofm.gate.roots import Roots
from biofm.gate.scratch import Scratch
from biofm.gate.standard_output import StandardOutput
from biofm.policy import ESTIMATE, UNFINISHED, Labels, Request, Target, TargetKind
from biofm.policy.labels import letters_of

if TYPE_CHECKING:
    from biofm.gate.confinement import Confinement


class Permit:
    """Holds the opened files of a request, by role. They stay open until the ``with`` of ``ask`` ends.

    Args:
        readers: The files that are read.
        targets: The files, folders and journals that are written.
        opened: Closes at the end everything that was opened.
        watched: For each role, functions that raise InputError if a file has changed.
        hosts: The hosts that may be contacted, as the request names them.
        note_worker: Writes into the ledger how a worker was confined and how it ended.
        made_from: The labels of what the request reads, which rise if a verb that it starts reads more.
        spare_folder: The folder for temporary files; by default that of the output.
    """

    def __init__(
        self,
        readers: Mapping[str, tuple[BinaryIO, ...]],
        targets: "Targets",
        opened: ExitStack,
        watched: Mapping[str, Sequence[Callable[[], None]]],
        hosts: tuple[str, ...],
        note_worker: Callable[["Confinement"], None],
        made_from: MadeFrom | None = None,
        spare_folder: Path | None = None,
    ) -> None:
        self._spare_folder = spare_folder
        self.hosts = hosts
        self.note_worker = note_worker
        self._made_from = made_from or MadeFrom(Labels.NONE)
        self._readers = readers
        self._targets = targets
        self._opened = opened
        self._watched = dict(watched)

    @property
    def labels(self) -> str:
        """The letters of the labels that the outputs have, for their provenance."""
        return letters_of(self._made_from.labels)

    def reader(self, role: str) -> BinaryIO:
        """Return the only file that is read in a role. It can seek unless it is a stream.

        Args:
            role: The role, which has exactly one file.
        """
        (reader,) = self._readers[role]
        return reader

    def readers(self, role: str) -> tuple[BinaryIO, ...]:
        """Return the files that are read in a role, in the request's order.

        Args:
            role: The role of the files.
        """
        return self._readers[role]

    def path_for_library(self, role: str) -> Path:
        """Return a name of the only file that is read in a role, for a library that takes no opened file.

        The name stands for the opened file itself, so that it means the same file even if the path that the
        user gave means another one by now.

        Args:
            role: The role, which has exactly one file.
        """
        reader = self.reader(role)
        if sys.platform == "win32":
            return Path(reader.name)
        folder = "/proc/self/fd" if sys.platform.startswith("linux") else "/dev/fd"
        return Path(folder, str(reader.fileno()))

    def check_unchanged(self) -> None:
        """Raise InputError if a file was changed since it was opened.

        This is called at the end of a run, before any output gets its name.
        """
        for role in tuple(self._watched):
            self.let_go(role)

    def let_go(self, role: str) -> None:
        """Stop watching the files of a role, because they have been read.

        Args:
            role: The role of the files.

        Raises:
            InputError: One of the files has been changed already.
        """
        for check in self._watched.pop(role, ()):
            check()

    def writer(self, role: str) -> BinaryIO:
        """Return a file that can be read, written and seeked. It gets its name if the ``with`` succeeds.

        Args:
            role: The role of the file.
        """
        return self._targets.files[role].handle

    def folder(self, role: str) -> Path:
        """Return a folder that exists and can be written. Files in it stay even if the ``with`` fails.

        Args:
            role: The role of the folder.
        """
        return self._targets.folders[role]

    def spare_folder(self, output: Path) -> Path:
        """Return the folder in which the temporary files of a run belong.

        Args:
            output: The output of the run.
        """
        return self._spare_folder or output.absolute().parent

    def journal(self, role: str) -> Journal:
        """Return a journal. Its committed work stays if the ``with`` fails, for a run that resumes.

        Args:
            role: The role of the journal.
        """
        return self._targets.journals[role]

    def journals(self, role: str) -> tuple[Journal, ...]:
        """Return the files that are read in a role, opened as journals.

        Args:
            role: The role of the files.

        Raises:
            InputError: A file is not a journal.
        """
        found = [Journal(Path(reader.name), read_only=True) for reader in self._readers[role]]
        for journal in found:
            self._opened.callback(journal.close)
        return tuple(found)

    @contextmanager
    def lent(self) -> Iterator["Targets"]:
        """Let go of the journals, which one process at a time may use, and take them back at the end.

        Yields what is written, for a worker that writes it.
        """
        with ExitStack() as lent:
            for work in self._targets.works.values():
                lent.enter_context(work.lent())
            yield self._targets


@contextmanager
def open_permit(
    request: Request,
    roots: Roots,
    note_worker: Callable[["Confinement"], None],
    made_from: MadeFrom | None = None,
) -> Iterator[Permit]:
    """Open what the request reads, then what it writes.

    At the end of the ``with`` the written files get their names; at an exception they are discarded.

    Args:
        request: The request, which the policy has allowed.
        roots: The folders in which the policy allows to read and write.
        note_worker: Writes into the ledger how a worker was confined and how it ended.
        made_from: The labels of what the request reads. None says that it reads nothing that has any.

    Raises:
        InputError: A file cannot be read, or was changed during the ``with``.
        OutputError: A target cannot be written, now or during the ``with``.
        RefusedError: A file lies outside the roots, or a link leads out of them.
    """
    allow_open_files(2 * sum(map(len, request.reads.values())))  # Journals are opened twice.
    with ExitStack() as opened:
        readers = {role: _open_readers(request, role, roots.read, opened) for role in request.reads}
        watched = {
            role: [watch(reader, path) for reader, path in zip(readers[role], paths, strict=True)]
            for role, paths in request.reads.items()
        }
        _check_apart(request)
        targets = _OpenTargets(request.writes, roots.write, opened)
        permit = Permit(readers, targets, opened, watched, request.hosts, note_worker, made_from)
        opened.enter_context(_vanished_folders_named(request))
        with write_faults(targets), _changed_files_named(permit):
            yield permit
        permit.check_unchanged()
        targets.publish()


class Targets(Protocol):
    """Holds what a request writes, by role, opened."""

    @property
    def files(self) -> Mapping[str, "OpenFile"]: ...
    @property
    def folders(self) -> Mapping[str, Path]: ...
    @property
    def works(self) -> Mapping[str, Scratch]: ...
    @property
    def journals(self) -> Mapping[str, Journal]: ...


class OpenFile(Protocol):
    """Is a file that is written, in any of the ways in which it may come to its place."""

    handle: BinaryIO

    def check(self) -> None: ...


class _OpenTargets:
    """Holds the opened targets of a request, by role: files, folders, and unfinished work with its journal.

    At its end, ``opened`` closes everything and discards what was not published.
    """

    def __init__(self, writes: Mapping[str, Target], roots: Sequence[Path], opened: ExitStack) -> None:
        self.files: dict[str, PartialFile | StandardOutput] = {}
        self.folders: dict[str, Path] = {}
        self.works: dict[str, Scratch] = {}
        self.journals: dict[str, Journal] = {}
        self._roots = roots
        self._opened = opened
        # Unfinished work comes first: its journal says which files at the targets are the run's own.
        for role, target in sorted(writes.items(), key=lambda item: item[1].kind not in UNFINISHED):
            OPENERS[target.kind](self, role, target)

    def open_file(self, role: str, target: Target) -> None:
        ours = [it.noted_outputs[role] for it in self.journals.values() if role in it.noted_outputs]
        self.files[role] = PartialFile(target, self._roots, *ours)
        self._opened.callback(self.files[role].discard)

    def open_stream(self, role: str, target: Target) -> None:
        self.files[role] = StandardOutput()
        self._opened.callback(self.files[role].discard)

    def open_folder(self, role: str, target: Target) -> None:
        self.folders[role] = open_folder(target, self._roots)

    def open_work(self, role: str, target: Target) -> None:
        self.works[role] = self._opened.enter_context(Scratch(target, self._roots))
        self.journals[role] = self.works[role].open()

    def publish(self) -> None:
        """End the run, in an order that allows it to be killed at any point.

        1. Every output is written to the disk completely, under a hidden name.
        2. The journal stores the identity of these files.
        3. They get their names, the request's first file last, so that the files beside it exist already.
        4. The unfinished work is removed, or becomes the output.
        5. The outcome is added to the ledger (``biofm.gate.gate``).

        A run that is killed before step 2 can be resumed from its work. Killed before step 4, it writes its
        outputs again and may replace those that the journal has stored. Killed later, it finds its own output
        and has nothing to do.
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
"""The method that opens a target of each kind."""


def _open_readers(
    request: Request, role: str, roots: Sequence[Path], opened: ExitStack
) -> tuple[BinaryIO, ...]:
    """Open the files that are read in a role. A role that is read once may be standard input or a pipe.

    An estimate accepts no pipe, because the run could not read again what the estimate has read.
    """
    takes_standard_input = role in request.once
    streams = takes_standard_input and request.verb != ESTIMATE
    readers = []
    for path in request.reads[role]:
        if path == STANDARD_INPUT and not takes_standard_input:
            what = "this input is read several times or out of order, which standard input does not allow"
            remedy = "Save it to a file first"
            raise InputError(what, where="-", remedy=remedy)
        reader = open_input(path, roots, streams=streams)
        if path != STANDARD_INPUT:
            opened.callback(reader.close)
        readers.append(reader)
    return tuple(readers)


def _check_apart(request: Request) -> None:
    """Raise OutputError if an output is also an input or another output, which it would overwrite."""
    inputs = {os.path.realpath(path) for paths in request.reads.values() for path in paths}
    outputs: set[str] = set()
    for target in request.writes.values():
        if target.kind == "stream":
            continue
        place = os.path.realpath(target.path)
        if place in inputs | outputs:
            what = "this file is also an input" if place in inputs else "two outputs have this name"
            raise OutputError(what, where=str(target.path), remedy="Choose another name for the output")
        outputs.add(place)


@contextmanager
def _changed_files_named(permit: Permit) -> Iterator[None]:
    """Raise InputError if a file changed while it was read, in place of the error that its reader raised."""
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
    """Raise OutputError if a target's folder was removed, in place of the error that the writer raised."""
    try:
        yield
    except Exception as error:
        for target in request.writes.values():
            if target.kind == "stream":
                continue
            folder = target.path if target.kind == "directory" else target.path.parent
            if not os.path.isdir(folder):
                what = "this folder disappeared during the run: it was removed, or its disk was"
                remedy = "Create it again, and repeat the command"
                fault = OutputError(what, where=str(folder), remedy=remedy)
                raise _noted_as(fault, error) from error
        raise


def _noted_as(fault: BiofmError, error: Exception) -> BiofmError:
    """Add the notes of ``error`` to ``fault``, which is raised in its place."""
    for note in getattr(error, "__notes__", ()):  # A note may say which work is kept.
        fault.add_note(note)
    return fault


@contextmanager
def write_faults(targets: Targets) -> Iterator[None]:
    """Raise OutputError, which names the target, if a write failed, whatever a library in between raised."""
    try:
        yield
    except BiofmError:
        raise
    except Exception as error:  # HDF5 and Arrow raise errors of their own.
        for file in targets.files.values():
            file.check()
        if isinstance(error, OSError):
            check_space(tuple(targets.folders.values()), error)
        raise
