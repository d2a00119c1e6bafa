"""Output: this module writes the embeddings of finished journals into one file, in the order of the input."""

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from biofm_datasets import Cell, DataError
from biofm_datasets.text import LONGEST_LINE, format_count
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.errors import InputError
from biofm.core.journal import Entry, Journal
from biofm.core.outputs import EmbeddingBlock, EmbeddingWriter, is_empty
from biofm.modalities.columns import SameColumns, columns_of

BLOCK_BYTES = 4 << 20
"""The memory that rows take before they are written together."""
MOST_RECORDS = 1 << 63
N_OWN = 3
"""The number of parts with which the payload of each record begins: id, number and length."""


class Written(NamedTuple):
    """Tells how many rows were written.

    Attributes:
        n_rows: How many rows there are.
        n_empty: How many records have empty rows, because the model's numbers were not finite.
    """

    n_rows: int
    n_empty: int


class _Found(NamedTuple):
    """Holds one record of a journal, its columns, and its rows."""

    entry: Entry
    columns: Mapping[str, Cell]
    rows: NDArray[np.float32]


def write_embeddings(journals: Sequence[Journal], writer: EmbeddingWriter, progress: Progress) -> Written:
    """Write the rows of finished journals into an output, and leave it open.

    Args:
        journals: The journals of all shards of one input.
        writer: The opened output.
        progress: Shows how far the writing is.

    Raises:
        InputError: A record is in none of the journals, is in two of them, or is damaged.
    """
    (n_records,) = {journal.finished["n_records"] for journal in journals if journal.finished}
    (d_model,) = {journal.fingerprint["d_model"] for journal in journals}
    n_rows = n_done = 0
    counts: Counter[str] = Counter()
    for block in _blocks(_found(journals, d_model, counts)):
        writer.append(block)
        n_rows += len(block.values)
        n_done += len(block.ids)
        progress.update(fraction=n_done / n_records)
    return Written(n_rows, counts["empty"])


def _found(journals: Sequence[Journal], d_model: int, counts: Counter[str]) -> Iterator[_Found]:
    """Yield all records in order, with their rows. ``counts`` counts the records whose rows are "empty"."""
    is_per_residue = journals[0].provenance["pooling"] == "none"
    same = SameColumns()
    for entry, journal in in_order(journals):
        columns = _columns_of(entry, journal, same)
        rows = _rows_of(entry, journal, d_model, is_per_residue)
        counts["empty"] += is_empty(rows)
        yield _Found(entry, columns, rows)


def in_order(journals: Sequence[Journal]) -> Iterator[tuple[Entry, Journal]]:
    """Yield every record of finished journals in the order of their input, with the journal that has it.

    Args:
        journals: The journals of all shards of one input.

    Raises:
        InputError: A record is in none of the journals, or in two of them.
    """
    (n_records,) = {journal.finished["n_records"] for journal in journals if journal.finished}
    merged = heapq.merge(*map(_located, journals), key=lambda located: located[0].number)
    expected = 1
    for entry, journal in merged:
        _check_number(entry.number, expected, n_records, journals)
        expected = entry.number + 1
        yield entry, journal
    _check_number(n_records + 1, expected, n_records + 1, journals)


def _located(journal: Journal) -> Iterator[tuple[Entry, Journal]]:
    return ((entry, journal) for entry in journal.entries())


def _check_number(number: int, expected: int, n_records: int, journals: Sequence[Journal]) -> None:
    """Raise InputError if record ``number`` comes next instead of record ``expected`` of ``n_records``."""
    if number == expected <= n_records:
        return
    what = f"record {number} does not exist: the input has {format_count(n_records, 'record')}"
    if number < expected:
        what = f"record {number} is in two of these shards"
    elif number == expected + 1:
        what = f"record {expected} is in none of these shards"
    elif number > expected:
        what = f"records {expected} to {number - 1} are in none of these shards"
    where = ", ".join(str(journal.path) for journal in journals)
    raise InputError(what, where=where, remedy="Run the shards again")


def _rows_of(entry: Entry, journal: Journal, d_model: int, is_per_residue: bool) -> NDArray[np.float32]:
    """Return the rows of a record. Raise InputError if they cannot be those of a sequence."""
    own = entry.payload[:N_OWN]
    if [type(part) for part in own] == [str, int, int] and len(entry.keys) == 1:
        values, (_, record, n_residues) = journal.row(entry.keys[0]), own
        n_values = d_model * (n_residues if is_per_residue else 1)
        is_named = "\0" not in entry.payload[0]
        is_numbered = entry.number <= record < MOST_RECORDS and 0 < n_residues <= LONGEST_LINE
        if is_named and is_numbered and values.size == n_values > 0:
            return values.reshape(-1, d_model)
    raise damaged(entry, journal)


def _columns_of(entry: Entry, journal: Journal, same: SameColumns) -> Mapping[str, Cell]:
    """Return the columns of a record, which are the last part of its payload.

    Raise InputError if their names or types differ from those of the records before.
    """
    of_columns = entry.payload[N_OWN:]
    if [type(part) for part in of_columns] not in ([], [dict]):
        raise damaged(entry, journal)
    columns: Mapping[str, Cell] = of_columns[0] if of_columns else {}
    try:
        same.check(columns, str(journal.path))
    except DataError as error:
        raise damaged(entry, journal) from error
    return columns


def damaged(entry: Entry, journal: Journal) -> InputError:
    """Return the error for a record of a journal that no run can have written.

    Args:
        entry: The damaged record.
        journal: The journal that holds it.
    """
    what = f"record {entry.number} is damaged"
    remedy = "Run that shard again; if it is not a shard, repeat the command with --overwrite"
    return InputError(what, where=str(journal.path), remedy=remedy)


def _blocks(found: Iterator[_Found]) -> Iterator[EmbeddingBlock]:
    """Gather records into blocks of about ``BLOCK_BYTES``."""
    gathered: list[_Found] = []
    n_bytes = 0
    for one in found:
        gathered.append(one)
        n_bytes += one.rows.nbytes
        if n_bytes >= BLOCK_BYTES:
            yield _block(gathered)
            gathered, n_bytes = [], 0
    if gathered:
        yield _block(gathered)


def _block(gathered: list[_Found]) -> EmbeddingBlock:
    return EmbeddingBlock(
        [one.entry.payload[0] for one in gathered],
        [one.entry.payload[1] for one in gathered],
        [one.entry.payload[2] for one in gathered],
        np.concatenate([one.rows for one in gathered]),
        columns_of(gathered),
    )
