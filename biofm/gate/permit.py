"""A permit: what an allowed request may touch, already opened."""

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
from biofm.gate.stream import StandardOutput
from biofm.policy import ESTIMATE, Request, Target
from biofm.policy.requests import UNFINISHED


class Permit:
    """The opened files of a request, by role. They are good until the ``with`` of ``ask`` ends."""

    def __init__(
        self,
        readers: Mapping[str, tuple[BinaryIO, ...]],
        writers: Mapping[str, BinaryIO],
        folders: Mapping[str, Path],
        journals: Mapping[str, Journal],
        opened: ExitStack,
        watched: Mapping[str, Sequence[Callable[[], None]]],
    ) -> None:
        self._readers = readers
        self._writers = writers
        self._folders = folders
        self._journals = journals
        self._opened = opened
        self._watched = dict(watched)

    def reader(self, role: str) -> BinaryIO:
        """The one file read in this role, from its first byte. Standard input cannot seek, a file can."""
        (reader,) = self._readers[role]
        return reader

    def readers(self, role: str) -> tuple[BinaryIO, ...]:
        """The files read in this role, in the request's order."""
        return self._readers[role]

    def check_unchanged(self) -> None:
        """Raises InputError: a file was changed since it was opened. Asked at the end, before any output gets
        its name.
        """
        for role in tuple(self._watched):
            self.let_go(role)

    def let_go(self, role: str) -> None:
        """All that is wanted of these files is read: from here on they may change. Raises InputError: one has
        changed already.
        """
        for check in self._watched.pop(role, ()):
            check()

    def writer(self, role: str) -> BinaryIO:
        """A seekable, readable and writable file. It gets its name when the ``with`` ends without a fault."""
        return self._writers[role]

    def folder(self, role: str) -> Path:
        """A folder that exists and can be written. What was written into it stays, fault or not."""
        return self._folders[role]

    def journal(self, role: str) -> Journal:
        """Work that outlives a fault: what is committed to it stays, for a run that resumes."""
        return self._journals[role]

    def journals(self, role: str) -> tuple[Journal, ...]:
        """The files read in this role, as journals.

        Raises InputError: one is none.
        """
        found = [Journal(Path(reader.name), read_only=True) for reader in self._readers[role]]
        for journal in found:
            self._opened.callback(journal.close)
        return tuple(found)


@contextmanager
def open_permit(request: Request) -> Iterator[Permit]:
    """Open the reads, then the writes. At the end publish what was written; at any exception discard it.

    Raises:
        InputError: A file cannot be read, or is changed during the ``with``.
        OutputError: A target cannot be written, now or during the ``with``.
    """
    allow_open_files(2 * sum(map(len, request.reads.values())))  # a journal is opened once more
    with ExitStack() as opened:
        readers = {}
        for role, paths in request.reads.items():
            # An estimate reads once, too, but what it has read of a pipe is gone for the run.
            takes_standard_input = role in request.once
            is_streamed = takes_standard_input and request.verb != ESTIMATE
            readers[role] = tuple(
                _open_all(paths, opened, streams=is_streamed, takes_standard_input=takes_standard_input)
            )
        watched = {
            role: [watch(reader, path) for reader, path in zip(readers[role], paths, strict=True)]
            for role, paths in request.reads.items()
        }
        _check_apart(request)
        files: dict[str, PartialFile | StandardOutput] = {}
        folders: dict[str, Path] = {}
        works: dict[str, Scratch] = {}
        journals: dict[str, Journal] = {}
        for role, target in _works_first(request.writes):
            if target.kind == "directory":
                folders[role] = open_folder(target)
            elif target.kind == "stream":
                files[role] = StandardOutput()
                opened.callback(files[role].discard)
            elif target.kind == "file":
                ours = [journal.naming[role] for journal in journals.values() if role in journal.naming]
                files[role] = PartialFile(target, *ours)
                opened.callback(files[role].discard)
            else:
                works[role] = opened.enter_context(Scratch(target))
                journals[role] = works[role].open()
        handles = {role: file.handle for role, file in files.items()}
        permit = Permit(readers, handles, folders, journals, opened, watched)
        opened.enter_context(_vanished_folders_named(request))
        with _write_faults(tuple(files.values()), tuple(folders.values())), _changed_files_named(permit):
            yield permit
        permit.check_unchanged()
        _publish(files, tuple(works.values()))


def _works_first(writes: Mapping[str, Target]) -> list[tuple[str, Target]]:
    """Unfinished work says which outputs are its own."""
    return sorted(writes.items(), key=lambda item: item[1].kind not in UNFINISHED)


def _publish(files: Mapping[str, PartialFile | StandardOutput], works: Sequence[Scratch]) -> None:
    """The end of a run, in the order that lets it be killed anywhere:

    1. every output is brought to the disk, whole, under a hidden name;
    2. the unfinished work remembers by what these files are known;
    3. they get their names, the first of the request last: where the output is, what stands beside it is;
    4. the unfinished work goes, or becomes the output;
    5. the ledger is told (``biofm.gate.gate``).

    Killed before 2, the run goes on from its work. Killed before 4, it writes its outputs once more, in the
    place of those that it knows. Killed later, it finds an output of its own and nothing to do.
    """
    for file in files.values():
        file.finish()
    for work in works:
        work.name({role: file.known_by for role, file in files.items()})
    for file in reversed(tuple(files.values())):
        file.publish()
    for work in works:
        work.publish()


def _open_all(
    paths: tuple[Path, ...], opened: ExitStack, *, streams: bool, takes_standard_input: bool
) -> Iterator[BinaryIO]:
    for path in paths:
        if path == STANDARD_INPUT and not takes_standard_input:
            what = "standard input can be read once and in order alone, and this is read otherwise"
            remedy = "Write what comes through it into a file first"
            raise InputError(what, where="-", remedy=remedy)
        reader = open_input(path, streams=streams)
        if path != STANDARD_INPUT:
            opened.callback(reader.close)
        yield reader


def _check_apart(request: Request) -> None:
    """An output that is also an input, or another output, would destroy it."""
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
    """A file that changes under its reader is the fault, whatever its reader made of it."""
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
    """So is a folder that is no longer there to be written into."""
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
    for note in getattr(error, "__notes__", ()):  # such as what work is kept
        fault.add_note(note)
    return fault


@contextmanager
def _write_faults(files: Sequence[PartialFile | StandardOutput], folders: Sequence[Path]) -> Iterator[None]:
    """Name the target of a fault that stems from writing, whatever the libraries in between made of it."""
    try:
        yield
    except BiofmError:
        raise
    except Exception as error:  # of any kind: HDF5 and Arrow have their own
        for file in files:
            file.check()
        if isinstance(error, OSError):
            check_space(folders, error)
        raise
