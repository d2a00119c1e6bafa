"""Embeddings are kept in temporary files here, for formats whose header depends on the last row."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from biofm_datasets import Cell

from biofm.core.errors import OutputError
from biofm.core.outputs.block import Cells, EmbeddingBlock, kinds_of

CHUNK_BYTES = 1 << 20


class Spool:
    """Holds bytes in a temporary file without a name, which the system removes however the process ends.

    Raises:
        OutputError: The folder cannot be written, or its disk is full.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        with self._faults():
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - It lives as long as the spool.
        self.n_bytes = 0

    def append(self, data: bytes | memoryview) -> None:
        with self._faults():
            self._file.write(data)
        self.n_bytes += len(data)

    def rewind(self) -> None:
        """Go to the beginning of the file."""
        with self._faults():
            self._file.seek(0)

    def read(self, n_bytes: int) -> bytes:
        """Return the next ``n_bytes`` bytes, or fewer at the end."""
        return self._file.read(n_bytes)

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole content in order, at most ``CHUNK_BYTES`` at a time."""
        self.rewind()
        while chunk := self.read(CHUNK_BYTES):
            yield chunk

    def read_at(self, place: int, n_bytes: int) -> bytes:
        """Return ``n_bytes`` bytes, starting at the offset ``place``."""
        with self._faults():
            self._file.seek(place)
        return self._file.read(n_bytes)

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
                remedy="Free some space there: temporary files take as much as the output",
            ) from error


class Strand:
    """Holds one of several byte sequences that share a spool; each can be read back on its own."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._pieces: list[tuple[int, int]] = []
        self.n_bytes = 0

    def append(self, data: bytes) -> None:
        self._pieces.append((self._spool.n_bytes, len(data)))
        self._spool.append(data)
        self.n_bytes += len(data)

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces in the order in which they were appended."""
        for place, n_bytes in self._pieces:
            yield self._spool.read_at(place, n_bytes)


class SpooledColumn:
    """Holds a column that travels with the records.

    ``cells`` holds its numbers (int64 or float64), or its texts in UTF-8, joined; ``offsets`` (int64) then
    says where each text begins and where the last one ends.
    """

    def __init__(self, spool: Spool, kind: type[Cell]) -> None:
        self.kind = kind
        self.cells, self.offsets = Strand(spool), Strand(spool)
        self.longest = 0

    def append(self, cells: Cells) -> None:
        if self.kind is not str:
            self.cells.append(np.array(cells, "<i8" if self.kind is int else "<f8").tobytes())
            return
        texts = [str(cell).encode() for cell in cells]
        ends = self.cells.n_bytes + np.cumsum([len(text) for text in texts], dtype="<i8")
        before = [] if self.offsets.n_bytes else [0]
        self.offsets.append(np.array([*before, *ends], "<i8").tobytes())
        self.cells.append(b"".join(texts))
        self.longest = max([self.longest, *(len(str(cell)) for cell in cells)])

    def texts(self) -> Iterator[list[str]]:
        """Yield the texts of the column, a list for each block that was appended."""
        end: list[int] = []
        for text, offsets in zip(self.cells.chunks(), self.offsets.chunks(), strict=True):
            bounds = [*end, *np.frombuffer(offsets, "<i8").tolist()]
            begin, end = bounds[0], bounds[-1:]
            yield [text[start - begin : stop - begin].decode() for start, stop in pairwise(bounds)]


class SpooledTable:
    """Holds blocks of embeddings in one spool per array.

    The arrays are ``values`` (float32), ``n_residues``, ``ids_utf8`` and ``ids_offsets`` (int64,
    n_proteins + 1), which says where in ``ids_utf8`` each id begins and where the last one ends. A fifth
    spool holds all ``columns`` that travel with the records, if there are any.
    """

    def __init__(self, folder: Path | None, *, per_residue: bool) -> None:
        self._folder = folder
        self._per_residue = per_residue
        self.values, self.n_residues, self.ids_utf8, self.ids_offsets = (Spool(folder) for _ in range(4))
        self.ids_offsets.append(np.zeros(1, dtype="<i8").tobytes())
        self.n_proteins = 0
        self.n_rows = 0
        self.d_embedding = 0
        self.longest_id = 0
        self.columns: dict[str, SpooledColumn] = {}
        self._of_columns: Spool | None = None

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
        self._append_columns(block.columns)

    def _append_columns(self, columns: Mapping[str, Cells]) -> None:
        if columns and self._of_columns is None:
            spool = self._of_columns = Spool(self._folder)
            self.columns = {name: SpooledColumn(spool, kind) for name, kind in kinds_of(columns).items()}
        for name, column in self.columns.items():
            column.append(columns[name])

    def ids(self, n_ids: int) -> Iterator[list[str]]:
        """Yield all ids, ``n_ids`` at a time."""
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
        if self._of_columns is not None:
            self._of_columns.close()
