"""From journals to a table: the rows of all records, in the input's order, each record once."""

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from biofm_datasets.text import LONGEST_LINE
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.errors import InputError
from biofm.core.journal import Entry, Journal
from biofm.core.stores import EmbeddingBlock, Store, is_empty

BLOCK_BYTES = 4 << 20
MOST_RECORDS = 1 << 63

Found = tuple[Entry, NDArray[np.float32]]


class Written(NamedTuple):
    """How many rows were written, and of how many proteins they are empty."""

    n_rows: int
    n_empty: int


def journals_to_store(journals: Sequence[Journal], store: Store, progress: Progress) -> Written:
    """Stream the rows of finished journals, which share one input, into ``store``.

    The store is left open. Raises InputError: a record is in none of the journals, or in two.
    """
    (n_records,) = {journal.finished["n_records"] for journal in journals if journal.finished}
    (d_model,) = {journal.fingerprint["d_model"] for journal in journals}
    n_rows = n_done = 0
    counts: Counter[str] = Counter()
    for block in _blocks(_found(journals, d_model, counts)):
        store.append(block)
        n_rows += len(block.values)
        n_done += len(block.ids)
        progress.update(fraction=n_done / n_records)
    return Written(n_rows, counts["empty"])


def _found(journals: Sequence[Journal], d_model: int, counts: Counter[str]) -> Iterator[Found]:
    is_per_residue = journals[0].provenance["pooling"] == "none"
    for entry, journal in in_order(journals):
        rows = _rows_of(entry, journal, d_model, is_per_residue)
        counts["empty"] += is_empty(rows)
        yield entry, rows


def in_order(journals: Sequence[Journal]) -> Iterator[tuple[Entry, Journal]]:
    """Every record of finished journals, which share one input, in its order, and the journal that has it.

    Raises InputError: a record is in none of the journals, or in two.
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
    if number == expected <= n_records:
        return
    what = f"record {number} is beyond the {n_records} of the input"
    if number < expected:
        what = f"record {number} is in two of them"
    elif number == expected + 1:
        what = f"record {expected} is in none of them"
    elif number > expected:
        what = f"records {expected} to {number - 1} are in none of them"
    where = ", ".join(str(journal.path) for journal in journals)
    raise InputError(what, where=where, remedy="Run the shards again")


def _rows_of(entry: Entry, journal: Journal, d_model: int, is_per_residue: bool) -> NDArray[np.float32]:
    """The rows of a record. Raises InputError where it is none of an embedded protein."""
    if [type(part) for part in entry.payload] == [str, int, int] and len(entry.keys) == 1:
        values, (_, record, n_residues) = journal.row(entry.keys[0]), entry.payload
        n_values = d_model * (n_residues if is_per_residue else 1)
        is_named = "\0" not in entry.payload[0]
        is_numbered = entry.number <= record < MOST_RECORDS and 0 < n_residues <= LONGEST_LINE
        if is_named and is_numbered and values.size == n_values > 0:
            return values.reshape(-1, d_model)
    raise damaged(entry, journal)


def damaged(entry: Entry, journal: Journal) -> InputError:
    """What to say of a record that is none."""
    what = f"record {entry.number} is damaged"
    remedy = "Run that shard again; where it is no shard, repeat the command with --overwrite"
    return InputError(what, where=str(journal.path), remedy=remedy)


def _blocks(found: Iterator[Found]) -> Iterator[EmbeddingBlock]:
    gathered: list[Found] = []
    n_bytes = 0
    for entry, rows in found:
        gathered.append((entry, rows))
        n_bytes += rows.nbytes
        if n_bytes >= BLOCK_BYTES:
            yield _block(gathered)
            gathered, n_bytes = [], 0
    if gathered:
        yield _block(gathered)


def _block(gathered: list[Found]) -> EmbeddingBlock:
    return EmbeddingBlock(
        [entry.payload[0] for entry, _ in gathered],
        [entry.payload[1] for entry, _ in gathered],
        [entry.payload[2] for entry, _ in gathered],
        np.concatenate([rows for _, rows in gathered]),
    )
