"""Provenance: the record of how an output was made, which is written into the output."""

import os
import stat
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from typing import BinaryIO, cast

from biofm.core.environment import __version__, torch_version

LABELS = "labels"
"""The name under which a provenance keeps the letters of the labels of what the output was made from."""


def sha256_of(files: Sequence[BinaryIO]) -> str:
    """Return the SHA-256 of the files.

    For one file it is what ``sha256sum FILE`` prints. For several, in their order, it is the SHA-256 of their
    hexadecimal sums, one per line: ``sha256sum FILES | cut -d ' ' -f 1 | sha256sum``.

    Args:
        files: Files that can seek. Each is read from its beginning and left there.
    """
    import hashlib  # It loads a library that `biofm --help` does not need.

    sums = [_sum(file) for file in files]
    if len(sums) == 1:
        return sums[0]
    return hashlib.sha256("".join(f"{sum_}\n" for sum_ in sums).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProvenance:
    """Holds what a model contributes to the numbers of an output.

    Attributes:
        model: The name or path by which the user named the model.
        sha256: The checksum of the model's weights (``sha256_of``).
        modality: The kind of record that the model reads, such as protein.
        items: The word for several records, such as proteins.
        units: The word for what its sequences are made of, such as residues.
        alphabet_sha256: The checksum of what its token numbers mean (``biofm_datasets.store.Alphabet``).
        dtype: The precision that the model computed in.
        device: The device that the model ran on.
        version: The version of biofm.
        torch_version: The version of torch.
    """

    model: str
    sha256: str
    modality: str
    items: str
    units: str
    alphabet_sha256: str
    dtype: str
    device: str
    version: str = __version__
    torch_version: str = field(default_factory=torch_version)

    def as_dict(self) -> dict[str, str | int | float | bool]:
        """Return the fields by name, in the form that the writers of outputs accept."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(ModelProvenance):
    """Holds everything that decides the numbers of embeddings.

    Attributes:
        pooling: How the residues' vectors of a sequence were pooled ("mean", "cls", "max" or "none").
        layer: The number of the model's blocks that the embeddings passed through.
        window: The length of a window in residues; 0 if sequences were embedded whole.
        gaps: How alignment gaps in the sequences were treated.
    """

    pooling: str
    layer: int
    window: int = 0
    gaps: str = "drop"


def _sum(file: BinaryIO) -> str:
    """Return the SHA-256 of a file, which is computed once for each state of a file on the disk."""
    file.seek(0)
    state = _state_of(file)
    if state in _SUMS:
        return _SUMS[state]
    import hashlib  # It loads a library that `biofm --help` does not need.

    digest = hashlib.file_digest(cast(BufferedReader, file), "sha256").hexdigest()
    file.seek(0)
    if state is not None and state == _state_of(file):
        _SUMS[state] = digest
    return digest


_SUMS: dict[tuple[int, ...] | None, str] = {}
"""The checksums of files by their state. They end with the process, so that nobody can plant a wrong one."""
SETTLED_NS = 3_000_000_000  # Two changes so close together may carry the same time.


def _state_of(file: BinaryIO) -> tuple[int, ...] | None:
    """Return the device, inode, size and time of change of a file on the disk.

    Nobody but the system sets the time of change. The result is None for a file that was changed a moment
    ago, because its next change may carry the same time; and for a stream in memory.
    """
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    is_settled = time.time_ns() - status.st_ctime_ns > SETTLED_NS
    if sys.platform == "win32" or not stat.S_ISREG(status.st_mode) or not is_settled:
        return None  # On Windows the time is that of the file's creation.
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
