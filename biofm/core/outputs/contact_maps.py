"""Contact maps in a file: ``.npz`` holds a matrix a protein; ``.parquet`` and ``.csv`` a row a pair.

``.npz``: each protein's matrix (residues, residues), float32, bears its id. An id that repeats, or that could
not be a file's name, is altered; ``ids`` and ``arrays`` hold the ids and the names of their arrays in the
input's order, ``provenance`` how they were made, as JSON.

The tables have the columns ``protein``, ``record`` (its number in the input, from 1, which tells proteins of
one id apart), ``i``, ``j`` (residues from 1, i < j) and ``probability``.

A protein without contacts, because the model's numbers are not finite, is a matrix of NaN, or a row with
nothing but its id, its number and, in a last column that such tables have, the ``reason``; ``.npz`` has it in
the provenance.

A Parquet file keeps its provenance in its metadata, a CSV in ``NAME.csv.provenance.json`` beside it.
"""

import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from biofm.core.errors import OutputError
from biofm.core.outputs.block import ProvenanceFields, empty_fields, is_empty
from biofm.core.outputs.npz import write_array
from biofm.core.outputs.unfailing import UnfailingFile

if TYPE_CHECKING:
    import pyarrow

SUFFIXES = (".npz", ".parquet", ".csv")
OWN_ARRAYS = ("arrays", "ids", "provenance")
LONGEST_NAME = 200
RENAMED = "arrays not named by their protein's id alone, which repeats or is no file name: see ids, arrays"
ROWS_AT_ONCE = 1 << 18

Probabilities = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFilter:
    """Which pairs a table holds: at least so far apart along the chain, and at least so probable."""

    min_separation: int = 1
    threshold: float = 0.0


class ContactWriter(Protocol):
    """Takes proteins in the input's order. One that is never closed leaves no whole file behind."""

    def append(self, id_: str, record: int, probabilities: Probabilities) -> None: ...

    def close(self) -> None:
        """Write what is left. The handle stays open."""


def check_contact_suffix(path: Path) -> str:
    """The suffix of ``path`` in lower case. Raises OutputError where no contacts can be written under it."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is no format for contacts" if suffix else "the name has no suffix"
        if path == Path("-"):
            what = "contacts go to a file, not to standard output"
        raise OutputError(what, where=str(path), remedy="Let the name end in .npz, .parquet or .csv")
    return suffix


def open_contact_writer(
    handle: BinaryIO,
    suffix: str,
    provenance: ProvenanceFields,
    pairs: PairFilter,
    notices: Counter[str],
    provenance_file: BinaryIO | None = None,
    reason: str | None = None,
) -> ContactWriter:
    """Return the writer of contact maps to ``handle``. ``pairs`` is for tables, ``provenance_file`` for
    ``.csv``; ``notices`` counts the arrays whose names are not their proteins' ids. ``reason``: what is said
    of a protein whose probabilities are NaN, where there may be such.
    """
    if suffix == ".npz":
        return _MatrixArchive(handle, provenance, notices, reason)
    return _PairTable(handle, suffix, provenance, pairs, provenance_file, reason)


class _MatrixArchive:
    """Writes each matrix when it comes. Memory holds the names alone."""

    def __init__(
        self, handle: BinaryIO, provenance: ProvenanceFields, notices: Counter[str], reason: str | None
    ) -> None:
        self._notices = notices
        self._reason = reason
        self._n_empty = 0
        self._output = UnfailingFile(handle)  # a forgotten archive would write its end into a closed file
        self._archive = zipfile.ZipFile(self._output, "w", zipfile.ZIP_STORED)
        self._provenance = provenance
        self._ids: list[str] = []
        self._arrays: list[str] = []
        self._taken: dict[str, int] = dict.fromkeys(OWN_ARRAYS, 1)

    def append(self, id_: str, record: int, probabilities: Probabilities) -> None:
        self._ids.append(id_)
        self._arrays.append(self._name(id_))
        if self._arrays[-1] != id_:
            self._notices[RENAMED] += 1
        self._n_empty += is_empty(probabilities)
        self._write(self._arrays[-1], probabilities)

    def close(self) -> None:
        self._write("ids", np.array(self._ids, np.str_))
        self._write("arrays", np.array(self._arrays, np.str_))
        provenance = {**self._provenance, **empty_fields(self._n_empty, self._reason)}
        self._write("provenance", np.array(json.dumps(provenance)))
        with self._output.faults_raised():
            self._archive.close()

    def _name(self, id_: str) -> str:
        """``id_`` as a file in a zip archive may be called, numbered where that is taken."""
        plain = re.sub(r"[/\\\0]|^\.+|\.npy$", "_", id_)[:LONGEST_NAME] or "_"
        name = plain
        while name in self._taken:
            self._taken[plain] += 1
            name = f"{plain}_{self._taken[plain]}"
        self._taken[name] = 1
        return name

    def _write(self, name: str, array: NDArray[Any]) -> None:
        content = np.ascontiguousarray(array)
        with self._output.faults_raised():
            write_array(self._archive, name, content.dtype, array.shape, [content.tobytes()])


class _PairTable:
    """Writes rows through Arrow whenever enough of them have gathered."""

    def __init__(
        self,
        handle: BinaryIO,
        suffix: str,
        provenance: ProvenanceFields,
        pairs: PairFilter,
        provenance_file: BinaryIO | None,
        reason: str | None,
    ) -> None:
        import pyarrow as pa  # heavy: this module is imported with every command
        from pyarrow.csv import CSVWriter
        from pyarrow.parquet import ParquetWriter

        text = json.dumps(dict(provenance), indent=2)
        fields = {
            "protein": pa.string(),
            "record": pa.int64(),
            "i": pa.int32(),
            "j": pa.int32(),
            "probability": pa.float32(),
        }
        fields |= {"reason": pa.string()} if reason else {}
        self._reason = reason
        self._schema = pa.schema(fields, {"biofm": text})
        self._output = UnfailingFile(handle)
        self._pairs = pairs
        self._waiting: list[pyarrow.Table] = []
        if suffix == ".parquet":
            self._writer = ParquetWriter(self._output, self._schema, use_dictionary=["protein", "record"])
        else:
            assert provenance_file is not None, "a .csv file has no place for the provenance"
            provenance_file.write(f'{{"biofm": {text}}}\n'.encode())
            self._writer = CSVWriter(self._output, self._schema)

    def append(self, id_: str, record: int, probabilities: Probabilities) -> None:
        import pyarrow as pa

        if is_empty(probabilities):
            row = {"protein": id_, "record": record, "reason": self._reason}
            self._waiting.append(pa.Table.from_pylist([row], schema=self._schema))
        for i, j, values in _select(probabilities, self._pairs):
            if not len(i):  # pyarrow 22 and earlier write the rows before an empty part twice
                continue
            names, numbers = pa.repeat(id_, len(i)), pa.repeat(record, len(i))
            columns = [names, numbers, pa.array(i + 1), pa.array(j + 1), pa.array(values)]
            columns += [pa.nulls(len(i), pa.string())] if self._reason else []
            self._waiting.append(pa.Table.from_arrays(columns, schema=self._schema))
            if sum(map(len, self._waiting)) >= ROWS_AT_ONCE:
                self._flush()

    def close(self) -> None:
        self._flush()
        with self._output.faults_raised():
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        with self._output.faults_raised():
            if self._waiting:
                self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []


def _select(
    probabilities: Probabilities, pairs: PairFilter
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], Probabilities]]:
    """Places and values of the wanted pairs, some rows of the matrix at a time."""
    n_rows = max(1, ROWS_AT_ONCE // max(1, len(probabilities)))
    for start in range(0, len(probabilities), n_rows):
        rows = probabilities[start : start + n_rows]
        i, j = np.nonzero(np.triu(rows >= pairs.threshold, start + pairs.min_separation))
        yield (i + start).astype(np.int32), j.astype(np.int32), rows[i, j]
