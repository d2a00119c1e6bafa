"""The folder of a store that is being written: which process holds it, and how much is done."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from biofm_datasets.documents import from_json, parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.store.files import HASHES, UNFINISHED
from biofm_datasets.text import format_count

if sys.platform != "win32":
    import fcntl

PROGRESS, LOCK = "progress.json", "lock"
BEGIN_AGAIN = "pass --overwrite without --resume to start again"

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Progress:
    """Holds the content of ``progress.json``; see ``Unfinished``."""

    fingerprint: dict[str, Any]
    n_bytes: dict[str, int]
    state: dict[str, Any]
    sums: dict[str, Any]


class Unfinished:
    """Holds the folder ``.unfinished`` of a store for this process alone, until ``close``.

    ``progress`` is what the last ``remember`` left there: the fingerprint of the work, the bytes of each
    file, the writer's state, and the sums of finished files.

    Args:
        folder: The folder of the store.
        fingerprint: The settings of the work; work with other settings is not continued.
        resume: Whether to continue the work that lies there.
        anew: Whether to discard the work that lies there. With neither, nothing may lie there.

    Raises:
        DataError: Work lies there and may not be continued or discarded; it is damaged; or another process
            holds it.
    """

    def __init__(self, folder: Path, fingerprint: Fields, *, resume: bool, anew: bool) -> None:
        self.folder = folder
        self.path = folder / UNFINISHED
        self.path.mkdir(exist_ok=True)
        self._lock = (self.path / LOCK).open("a")
        try:
            self._hold()
            found = None if anew and not resume else self._read()
            of_work: dict[str, Any] = json.loads(json.dumps(dict(fingerprint)))  # as it is read back
            if found is None:
                self._clear()
            else:
                self._check(found, of_work, resume)
            progress = found or _Progress(fingerprint=of_work, n_bytes={}, state={}, sums={})
            self.progress = asdict(progress)
        except BaseException:
            self.close()
            raise

    def remember(self, **changed: Any) -> None:
        """Write the changed entries of the progress to the disk."""
        self.progress |= changed
        write_whole(self.path / PROGRESS, json.dumps(self.progress).encode())

    def close(self) -> None:
        """Let other processes hold the folder."""
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        self.close()
        shutil.rmtree(self.path)

    def damaged(self, why: str) -> DataError:
        """Return the error for unfinished work that is damaged."""
        remedy = BEGIN_AGAIN[0].upper() + BEGIN_AGAIN[1:]
        return DataError(f"the unfinished store is damaged ({why})", where=str(self.folder), remedy=remedy)

    def _hold(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what, remedy = "another process is writing this store", "Wait for it, or choose another folder"
            raise DataError(what, where=str(self.folder), remedy=remedy) from error
        except OSError:  # a mount without locks
            return

    def _read(self) -> _Progress | None:
        try:
            content = parse_json((self.path / PROGRESS).read_bytes())
            progress: _Progress = from_json(_Progress, content, "its progress")
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self.damaged(str(error)) from error
        return progress

    def _clear(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():  # left by a tool that was killed
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()

    def _check(self, found: _Progress, fingerprint: Fields, resume: bool) -> None:
        if not resume:
            n_done = found.n_bytes.get(HASHES.tensor, 0) // HASHES.itemsize
            what = f"there is an unfinished store here ({format_count(n_done, 'sequence')} done)"
            remedy = f"Pass --resume to continue it, or {BEGIN_AGAIN}"
            raise DataError(what, where=str(self.folder), remedy=remedy)
        before = found.fingerprint
        differing = [name for name in {**before, **fingerprint} if before.get(name) != fingerprint.get(name)]
        if differing:
            changes = ", ".join(
                f"{name} was {before.get(name)} and is now {fingerprint.get(name)}" for name in differing
            )
            what = f"the unfinished store had other settings: {changes}"
            remedy = f"Repeat the command as it was, or {BEGIN_AGAIN}"
            raise DataError(what, where=str(self.folder), remedy=remedy)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it holds the old or the new content whenever the process ends."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
