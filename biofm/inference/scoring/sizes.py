"""How large a table of scores becomes."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import numpy as np

from biofm.core.tables import SUFFIXES, Table, open_table
from biofm.inference.scoring.methods import Variant
from biofm.inference.scoring.rows import Chunk
from biofm.inference.scoring.scorer import Scorer
from biofm.inference.scoring.to_journal import output_columns

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOWEST = -10.0  # of the made-up scores, natural logarithms: it decides how many digits they are spelt with


class TableSizes:
    """Writes the rows it is given in every format, to nowhere, with made-up scores, and counts the bytes."""

    def __init__(self, scorer: Scorer, names: Sequence[str]) -> None:
        self._scorer = scorer
        self._names = names
        self._tables: dict[str, tuple[NullSink, Table]] = {}
        for suffix in SUFFIXES:
            nowhere = NullSink()
            table = open_table(cast(Any, nowhere), suffix, {}, io.BytesIO())
            self._tables[suffix] = nowhere, table
        self._is_empty = True

    def add(self, chunk: Chunk, notices: Counter[str]) -> None:
        made_up = np.array([_made_up(variant) for _, variant in chunk.scored], np.float32)
        scores = np.repeat(made_up[:, None], len(self._names), axis=1)
        columns = output_columns(chunk, self._scorer, self._names, scores, notices)
        for _, table in self._tables.values():
            table.append(columns)
        self._is_empty = False

    def in_bytes(self) -> dict[str, int]:
        """By suffix; after the last row."""
        if self._is_empty:
            return dict.fromkeys(SUFFIXES, 0)
        for _, table in self._tables.values():
            table.close()
        return {suffix: nowhere.n_bytes for suffix, (nowhere, _) in self._tables.items()}


def _made_up(variant: Variant) -> float:
    """The same of the same variant, as scores are: a Parquet file keeps what repeats once."""
    return LOWEST * crc32(f"{variant.wild_type} {variant.changes}".encode()) / 2**32


class NullSink(io.RawIOBase):
    """Takes bytes and counts them."""

    n_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        n_bytes = memoryview(data).nbytes
        self.n_bytes += n_bytes
        return n_bytes
