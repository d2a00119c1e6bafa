"""An opened folder, in which files are created, renamed and removed relative to its descriptor.

The folder on the disk may be moved, or its name may become a link to another one: what is done through the
descriptor still happens in the folder that was opened. Windows has no such descriptors; there the path is
used again.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from biofm.gate.roots import ON_THE_WAY, open_below

HAS_DESCRIPTORS = {os.open, os.stat, os.rename, os.link, os.unlink, os.chmod} <= os.supports_dir_fd


class Folder:
    """Holds a folder open, until ``close``.

    ``descriptor`` is None where the system has none.

    Args:
        path: The folder.
        roots: The folders below which the policy allows to write.

    Raises:
        OutsideRootsError: The folder lies outside the roots, or a link leads out of them.
        OSError: There is no such folder, or it cannot be opened.
    """

    def __init__(self, path: Path, roots: Sequence[Path]) -> None:
        self.path = path
        self.descriptor = open_below(roots, path, ON_THE_WAY) if HAS_DESCRIPTORS else None

    def is_in_place(self) -> bool:
        """Return whether the path still names the folder that was opened."""
        if self.descriptor is None:
            return True
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.descriptor))
        except OSError:
            return False

    def open(self, name: str, flags: int) -> int:
        """Open a file of the folder and return its descriptor. No link is followed."""
        flags |= getattr(os, "O_NOFOLLOW", 0)
        return os.open(self.place(name), flags, 0o666, dir_fd=self.descriptor)

    def names(self) -> list[str]:
        """Return the names of what lies in the folder."""
        if self.descriptor is None:
            return os.listdir(self.path)
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.descriptor)
        try:
            return os.listdir(readable)
        finally:
            os.close(readable)

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a file of the folder; of a link itself, not of what it leads to."""
        return os.stat(self.place(name), dir_fd=self.descriptor, follow_symlinks=False)

    def chmod(self, name: str, mode: int) -> None:
        """Set the permissions of a file of the folder."""
        os.chmod(self.place(name), mode, dir_fd=self.descriptor)

    def unlink(self, name: str) -> None:
        """Remove a file of the folder."""
        os.unlink(self.place(name), dir_fd=self.descriptor)

    def rename(self, name: str, new: str) -> None:
        """Rename a file of the folder, and replace the file that has the new name."""
        places = self.place(name), self.place(new)
        os.replace(*places, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def close(self) -> None:
        """Let the folder go. This is called once, and nothing else afterwards."""
        if self.descriptor is not None:
            os.close(self.descriptor)

    def place(self, name: str) -> str | Path:
        """Return what the functions of ``os`` take for a file of the folder, beside ``descriptor``."""
        return self.path / name if self.descriptor is None else name
