"""Unfinished work beside an output: kept when a run is cut short, so that the next one can go on with it.

It is a journal in the hidden folder ``.NAME.run``. When the run has ended and its outputs have their names,
the folder goes; or, where the work is itself what was asked for, the journal becomes the file ``NAME``.
"""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from biofm.core.errors import BiofmError, OutputError
from biofm.core.journal import KEPT, Journal
from biofm.core.signals import keep_at_forced_end, remove_at_forced_end
from biofm.core.temporary import FREE_TEMPORARY
from biofm.gate.outputs import check_file, check_parent, unwritable
from biofm.gate.partial import rename_to_new
from biofm.policy import Target

JOURNAL = "journal.sqlite3"


def scratch_path(output: Path) -> Path:
    """Where the unfinished work for ``output`` lies."""
    return output.with_name(f".{output.name}.run")


def was_finished(output: Path) -> bool:
    """Whether ``output`` is there and no unfinished work beside it: a run that resumes has nothing to do but
    to look whether it is its own. What a run that was killed in its last moment left of its folder goes.
    """
    folder = scratch_path(output)
    journal = folder / JOURNAL
    with suppress(OSError):
        # Killed between the two halves of a renaming.
        if not folder.is_symlink() and os.path.samefile(journal, output):
            journal.unlink()
    if journal.exists() or not output.is_file():
        return False
    with suppress(OSError):
        folder.rmdir()
    return True


class Scratch:
    """The work of one run: ``open``, then ``publish``. Leaving the ``with`` by a fault keeps what is
    committed, if anything is and it is not temporary, and says so in a note of the fault.

    Raises:
        OutputError: From the constructor and from ``open``: unfinished work lies there, and it is neither to
            be resumed nor to be given up; another process is at work on it; a link lies in its place, which
            someone may have planted; the place cannot be written.
    """

    journal: Journal

    def __init__(self, target: Target) -> None:
        self._target = target
        if target.kind == "journal":
            check_file(target)
        check_parent(target.path)
        self.folder = scratch_path(target.path) if target.kind == "journal" else target.path
        for path in (self.folder, *self._files):
            if path.is_symlink():
                what = "this is a link, in the place of unfinished work, which is never followed"
                raise OutputError(what, where=str(path), remedy="Remove it")
        self._n_done_before = 0

    def open(self) -> Journal:
        """The journal, locked, with the work that is to be resumed."""
        try:
            if self._target.kind == "temporary":
                self.folder.mkdir(mode=0o700)  # where others work too
                remove_at_forced_end(self.folder)
            self.folder.mkdir(exist_ok=True)
        except (OSError, ValueError) as error:
            raise unwritable(self.folder, error) from error
        begins_again = self._target.overwrite and not self._target.resume
        remedy = FREE_TEMPORARY if self._target.kind == "temporary" else KEPT
        self.journal = Journal(self.folder / JOURNAL, anew=begins_again, remedy=remedy)
        self._n_done_before = self.journal.n_done
        if self._n_done_before and not self._target.resume:
            raise OutputError(
                f"an unfinished run lies here ({self._n_done_before:,} records done)",
                where=str(self.folder),
                remedy="Pass --resume to go on with it, or --overwrite to begin again",
            )
        return self.journal

    def name(self, files: Mapping[str, tuple[int, ...]]) -> None:
        """Remember by what the outputs are known that get their names now: a run that is killed meanwhile may
        replace those, and no others, when it is resumed.
        """
        if files:
            self.journal.name(files)

    def publish(self) -> None:
        """The run has ended well: give the journal its name, or remove it."""
        self.journal.close()
        if self._target.kind == "journal":
            try:
                rename = os.replace if self._target.overwrite else rename_to_new
                rename(self.folder / JOURNAL, self._target.path)
            except OSError as error:
                raise unwritable(self._target.path, error) from error
        self._remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None:
            return
        n_done = self._close()
        if self._target.kind == "temporary":
            self._remove()
        elif not n_done:
            self._remove(with_journal=n_done == 0)
        elif n_done > self._n_done_before or not isinstance(fault, Exception):
            fault.add_note(f"{n_done:,} records are done and kept: repeat the command with --resume to go on")

    def _close(self) -> int | None:
        """How many records are done; None where that cannot be known, or another process is at work."""
        try:
            # A signal may have come while it was being opened.
            journal = self.journal if hasattr(self, "journal") else Journal(self.folder / JOURNAL)
            with closing(journal):
                return journal.n_done
        except BiofmError:
            return None

    @property
    def _files(self) -> tuple[Path, Path]:
        """The journal, and what SQLite keeps beside it."""
        return self.folder / JOURNAL, self.folder / f"{JOURNAL}-journal"

    def _remove(self, *, with_journal: bool = True) -> None:
        with suppress(OSError):
            for path in reversed(self._files) if with_journal else ():
                path.unlink(missing_ok=True)
            self.folder.rmdir()  # if nothing is in it
        keep_at_forced_end(self.folder)
