"""Unfinished work is kept beside the output of an interrupted run, so that ``--resume`` can continue it.

It is a journal in the hidden folder ``.NAME.run``. When the run has ended and its outputs have their names,
the folder is removed. The output of a shard is the journal itself, which then becomes the file ``NAME``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from biofm_datasets.text import format_count

from biofm.core.errors import BiofmError, OutputError
from biofm.core.journal import KEPT, Journal
from biofm.core.temporary import FREE_TEMPORARY, keep_at_forced_end, remove_at_forced_end
from biofm.gate.outputs import check_file, check_folder, check_parent, check_place, unwritable
from biofm.gate.partial import rename_to_new
from biofm.policy import Target

JOURNAL = "journal.sqlite3"


def scratch_path(output: Path) -> Path:
    """Return the folder of the unfinished work for an output.

    Args:
        output: The path of the output.
    """
    return output.with_name(f".{output.name}.run")


def _output_of(folder: Path) -> Path:
    """Return the output to which a folder of unfinished work belongs, or a path of another form as it is."""
    output = folder.with_name(folder.name[1:].removesuffix(".run"))
    return output if scratch_path(output) == folder else folder


def was_finished(output: Path) -> bool:
    """Return whether an output exists and no unfinished work lies beside it.

    A run that resumes then only has to check that the output is its own. A run that was killed at its last
    step may have left an empty folder, or a second name of the output in it: neither is unfinished work.

    Args:
        output: The path of the output.
    """
    journal = scratch_path(output) / JOURNAL
    return output.is_file() and (not journal.exists() or _is_second_name(journal, output))


def remove_leftovers(output: Path) -> None:
    """Remove what a run that was killed at its last step left beside its finished output.

    Args:
        output: The path of the output, for which ``was_finished`` holds.
    """
    journal = scratch_path(output) / JOURNAL
    with suppress(OSError):
        if _is_second_name(journal, output):
            journal.unlink()
        journal.parent.rmdir()


def _is_second_name(journal: Path, output: Path) -> bool:
    """Return whether a run was killed between the two steps of renaming its journal to its output."""
    try:
        return not journal.parent.is_symlink() and os.path.samefile(journal, output)
    except OSError:
        return False


class Scratch:
    """Keeps the unfinished work of one run: a folder with a journal. Call ``open``, then ``publish``.

    If the ``with`` ends by an exception, the committed work is kept and a note of the exception says so,
    unless there is no work or the target is temporary.

    Args:
        target: The folder, or the file that the journal becomes.
        roots: The folders below which the policy allows to write.

    Raises:
        RefusedError: From the constructor: the folder lies outside the roots, or a link leads out of them.
        OutputError: From the constructor and from ``open``: there is unfinished work, and the target permits
            neither to resume nor to overwrite it; another process is working on it; a symbolic link is in its
            place, which someone may have planted; the folder cannot be written.
    """

    journal: Journal

    def __init__(self, target: Target, roots: Sequence[Path]) -> None:
        self._target = target
        check_place(target.path, roots)
        if target.kind == "journal":
            check_file(target)
        check_parent(_output_of(target.path))  # the user has named the output, not the folder beside it
        self.folder = scratch_path(target.path) if target.kind == "journal" else target.path
        check_folder(self.folder.parent, roots)
        for path in (self.folder, *self._files):
            if path.is_symlink():
                what = "unfinished work belongs here, but this is a link, which biofm does not follow"
                raise OutputError(what, where=str(path), remedy="Remove the link")
        self._n_done_before = 0

    def open(self) -> Journal:
        """Return the journal, which is locked and holds the work to be resumed."""
        try:
            if self._target.kind == "temporary":
                self.folder.mkdir(mode=0o700)  # Other users may use the folder around it.
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
                f"there is an unfinished run here ({format_count(self._n_done_before, 'record')} done)",
                where=str(self.folder),
                remedy="Pass --resume to continue it, or --overwrite to start again",
            )
        return self.journal

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Let another process use the journal within the ``with``."""
        self.journal.close()
        try:
            yield
        finally:
            self.journal = Journal(self.folder / JOURNAL)

    def note_outputs(self, files: Mapping[str, tuple[int, ...]]) -> None:
        """Store the identities, by role, of the outputs that are about to get their names.

        If the run is killed meanwhile, it may replace these files, and no others, when it is resumed.
        """
        if files:
            self.journal.note_outputs(files)

    def publish(self) -> None:
        """End a run that succeeded: give the journal its final name, or remove it."""
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
            done = format_count(n_done, "record")
            fault.add_note(f"{done} done and kept: repeat the command with --resume to continue")

    def _close(self) -> int | None:
        """Close the journal and return how many records are done.

        The result is None if that cannot be known, such as when another process is working on the journal.
        """
        try:
            # A signal may have arrived while the journal was being opened.
            journal = self.journal if hasattr(self, "journal") else Journal(self.folder / JOURNAL)
            with closing(journal):
                return journal.n_done
        except BiofmError:
            return None

    @property
    def _files(self) -> tuple[Path, Path]:
        """The paths of the journal and of the file that SQLite may have beside it."""
        return self.folder / JOURNAL, self.folder / f"{JOURNAL}-journal"

    def _remove(self, *, with_journal: bool = True) -> None:
        with suppress(OSError):
            for path in reversed(self._files) if with_journal else ():
                path.unlink(missing_ok=True)
            self.folder.rmdir()  # This fails, and is meant to, if the folder is not empty.
        keep_at_forced_end(self.folder)
