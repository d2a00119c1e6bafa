"""Unfinished work beside an output: kept when a run is interrupted, so that ``--resume`` can go on with it.

It is a journal in the hidden folder ``.NAME.run``. When the run has ended and its outputs have their names,
the folder is removed. For a shard of a run, whose output is the journal, the journal becomes the file
``NAME``.
"""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from biofm.core.errors import BiofmError, OutputError
from biofm.core.journal import KEPT, Journal
from biofm.core.temporary import FREE_TEMPORARY, keep_at_forced_end, remove_at_forced_end
from biofm.gate.outputs import check_file, check_parent, unwritable
from biofm.gate.partial import rename_to_new
from biofm.policy import Target

JOURNAL = "journal.sqlite3"


def scratch_path(output: Path) -> Path:
    """Return the folder of the unfinished work for ``output``."""
    return output.with_name(f".{output.name}.run")


def was_finished(output: Path) -> bool:
    """Return whether ``output`` exists and no unfinished work lies beside it.

    A run that resumes then only has to check that the output is its own. An empty folder, or a second name of
    the output in it, is what a run left that was killed in its last moment: it is removed.
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
    """The unfinished work of one run: a folder with a journal. Call ``open``, then ``publish``.

    If the ``with`` ends by a fault, the committed work is kept, unless there is none or the target is
    temporary, and a note of the fault says so.

    Raises:
        OutputError: From the constructor and from ``open``: unfinished work lies there, and the target
        permits
            neither to resume nor to overwrite it; another process works on it; a symbolic link lies in its
            place, which someone may have planted; the folder cannot be written.
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
        """Return the journal, locked, with the work that is to be resumed."""
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

    def note_outputs(self, files: Mapping[str, tuple[int, ...]]) -> None:
        """Note the identities of the outputs that are about to get their names, by role. If the run is killed
        meanwhile, it may replace these files, and no others, when it is resumed.
        """
        if files:
            self.journal.note_outputs(files)

    def publish(self) -> None:
        """End a run that succeeded: give the journal its name, or remove it."""
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
        """Close the journal and return how many records are done; None where that cannot be known, as when
        another process works on it.
        """
        try:
            # A signal may have come while it was being opened.
            journal = self.journal if hasattr(self, "journal") else Journal(self.folder / JOURNAL)
            with closing(journal):
                return journal.n_done
        except BiofmError:
            return None

    @property
    def _files(self) -> tuple[Path, Path]:
        """The journal, and the file that SQLite keeps beside it."""
        return self.folder / JOURNAL, self.folder / f"{JOURNAL}-journal"

    def _remove(self, *, with_journal: bool = True) -> None:
        with suppress(OSError):
            for path in reversed(self._files) if with_journal else ():
                path.unlink(missing_ok=True)
            self.folder.rmdir()  # if nothing is in it
        keep_at_forced_end(self.folder)
