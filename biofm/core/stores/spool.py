"""Embeddings kept in temporary files, for formats whose first byte depends on their last row."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from biofm.core.errors import OutputError
from biofm.core.stores.block import EmbeddingBlock

CHUNK_BYTES = 1 << 20


class Spool:
    """A temporary file without a name: however the process ends, nothing is left of it.

    Raises:
        OutputError: The folder cannot be written, or its disk is full.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        with self._faults():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the spool
        self.n_bytes = 0

    def append(self, data: bytes | memoryview) -> None:
        with self._faults():
            self._file.write(data)
        self.n_bytes += len(data)

    def rewind(self) -> None:
        """Go to the beginning, to read."""
        with self._faults():
            self._file.seek(0)

    def read(self, n_bytes: int) -> bytes:
        """The next bytes; fewer at the end."""
        return self._file.read(n_bytes)

    def chunks(self) -> Iterator[bytes]:
        """The whole content."""
        self.rewind()
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        self._file.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"no temporary file can be written there ({error.strerror})",
                where=str(self._folder or tempfile.gettempdir()),
                remedy="Free some space there; it takes as much as the output, once more",
            ) from error


class SpooledTable:
    """Blocks as four spools, one an array: ``values`` (float32), ``n_residues``, ``ids_utf8``,
    ``ids_offsets``.

    ``ids_offsets`` (int64, n_proteins + 1) says where in ``ids_utf8`` each id begins, and where the last one
    ends.
    """

    def __init__(self, folder: Path | None, *, per_residue: bool) -> None:
        self._per_residue = per_residue
        self.values, self.n_residues, self.ids_utf8, self.ids_offsets = (Spool(folder) for _ in range(4))
        self.ids_offsets.append(np.zeros(1, dtype="<i8").tobytes())
        self.n_proteins = 0
        self.n_rows = 0
        self.d_embedding = 0
        self.longest_id = 0

    def append(self, block: EmbeddingBlock) -> None:
        block.check_rows(self._per_residue)
        ids = [id_.encode() for id_ in block.ids]
        ends = self.ids_utf8.n_bytes + np.cumsum([len(id_) for id_ in ids], dtype="<i8")
        self.ids_offsets.append(ends.tobytes())
        self.ids_utf8.append(b"".join(ids))
        self.n_residues.append(np.array(block.n_residues, dtype="<i8").tobytes())
        self.values.append(np.ascontiguousarray(block.values, dtype="<f4").tobytes())
        self.n_proteins += len(ids)
        self.n_rows += len(block.values)
        self.d_embedding = block.values.shape[1]
        self.longest_id = max([self.longest_id, *map(len, block.ids)])

    def ids(self, n_ids: int) -> Iterator[list[str]]:
        """All ids, ``n_ids`` at a time."""
        self.ids_utf8.rewind()
        self.ids_offsets.rewind()
        begin = int.from_bytes(self.ids_offsets.read(8), "little")
        while offsets := self.ids_offsets.read(8 * n_ids):
            ends = np.frombuffer(offsets, dtype="<i8")
            text = self.ids_utf8.read(int(ends[-1]) - begin)
            bounds = [0, *(ends - begin).tolist()]
            yield [text[start:end].decode() for start, end in pairwise(bounds)]
            begin = int(ends[-1])

    def close(self) -> None:
        for spool in (self.values, self.n_residues, self.ids_utf8, self.ids_offsets):
            spool.close()
