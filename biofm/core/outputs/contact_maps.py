"""Contact maps are written as a matrix per protein (``.npz``) or a row per pair (``.parquet``, ``.csv``).

In an ``.npz``, the name of each protein's array (residues, residues), float32, is the protein's id. The name
differs if the id repeats or is not a valid file name. The arrays ``ids`` and ``arrays`` hold the ids and the
names of their arrays in the input's order, and ``provenance`` says as JSON how they were made.

The tables have the columns ``protein``, ``record`` (the protein's number in the input, from 1, which
distinguishes proteins with the same id), ``i``, ``j`` (residues from 1, i < j) and ``probability``.

A protein has no contacts if the model's numbers are not finite. In an ``.npz`` its matrix is NaN, and the
provenance gives the reason. In a table it has one row with its id, its number and, in a last column
``reason``, the reason; its other cells are empty.

A Parquet file keeps its provenance in its metadata; the provenance of a CSV file is in
``NAME.csv.provenance.json`` beside it.
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
RENAMED = "arrays not named by their id, which repeats or is no file name (`ids` and `arrays` pair them)"
ROWS_AT_ONCE = 1 << 18

Probabilities = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFilter:
    """Says which pairs of residues a table holds.

    Attributes:
        min_separation: The least separation of the two along the chain, in residues.
        threshold: The least probability of a contact, from 0 to 1.
    """

    min_separation: int = 1
    threshold: float = 0.0


class ContactWriter(Protocol):
    """Writes the contacts of proteins, in the input's order. The file is complete only after ``close``."""

    def append(self, id_: str, record: int, probabilities: Probabilities) -> None:
        """Write the contact map of a protein, whose number in the input is ``record``, from 1."""

    def close(self) -> None:
        """Write the rest of the file. The handle stays open."""


def check_contact_suffix(path: Path) -> str:
    """Return the suffix of ``path`` in lower case. Raise OutputError if no contact maps have this format."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is not a format for contact maps" if suffix else "the name has no suffix"
        if path == Path("-"):
            what = "contact maps cannot be written to standard output"
        remedy = "Give a file name that ends in .npz, .parquet or .csv"
        raise OutputError(what, where=str(path), remedy=remedy)
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
    """Return the writer of contact maps in the format of ``suffix``.

    Args:
        handle: The output file.
        suffix: One of ``SUFFIXES``.
        provenance: How the contact maps were made.
        pairs: Which pairs a table holds; an ``.npz`` holds all of them.
        notices: Counts the arrays whose name is not their protein's id.
        provenance_file: A second file for the provenance, which ``.csv`` needs.
        reason: What the output says about a protein whose probabilities are NaN. None if there are none.
    """
    if suffix == ".npz":
        return _MatrixArchive(handle, provenance, notices, reason)
    return _PairTable(handle, suffix, provenance, pairs, provenance_file, reason)


class _MatrixArchive:
    """Writes each matrix as soon as it arrives. Memory holds only the names."""

    def __init__(
        self, handle: BinaryIO, provenance: ProvenanceFields, notices: Counter[str], reason: str | None
    ) -> None:
        self._notices = notices
        self._reason = reason
        self._n_empty = 0
        self._output = UnfailingFile(handle)  # Python ends an unclosed archive, perhaps in a closed file.
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
        """Return ``id_`` as a valid name of a file in a zip archive, with a number if the name is taken."""
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
    """Writes rows through Arrow whenever enough of them are collected."""

    def __init__(
        self,
        handle: BinaryIO,
        suffix: str,
        provenance: ProvenanceFields,
        pairs: PairFilter,
        provenance_file: BinaryIO | None,
        reason: str | None,
    ) -> None:
        import pyarrow as pa  # It is heavy, and every command imports this module.
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
            if not len(i):  # Up to version 22, pyarrow writes the rows before an empty part twice.
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
    """Yield the residues and values of the wanted pairs, for some rows of the matrix at a time."""
    n_rows = max(1, ROWS_AT_ONCE // max(1, len(probabilities)))
    for start in range(0, len(probabilities), n_rows):
        rows = probabilities[start : start + n_rows]
        i, j = np.nonzero(np.triu(rows >= pairs.threshold, start + pairs.min_separation))
        yield (i + start).astype(np.int32), j.astype(np.int32), rows[i, j]
