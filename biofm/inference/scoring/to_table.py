"""From journals of scores to a table: the rows of all of them, in the input's order."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from biofm.core import Progress
from biofm.core.journal import Entry, Journal
from biofm.core.tables import Columns, Table, kept_apart
from biofm.inference.empty_rows import REASON
from biofm.inference.scoring.parts import unpack_columns
from biofm.inference.scoring.to_journal import RENAMED, WHY
from biofm.inference.to_store import damaged, in_order

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_BLOCK = 4096
BYTES_PER_BLOCK = 64 << 20


def journals_to_table(
    journals: Sequence[Journal],
    table: Table,
    progress: Progress,
    notices: Counter[str],
    on_block: Callable[[Columns], None] = lambda columns: None,
) -> int:
    """Stream the scores of finished journals, which share one input, into ``table``; returns how many. The
    reasons of empty rows are a column where such rows were allowed.

    ``on_block`` sees every block of rows, and ``notices`` counts the columns that get another name here.
    Raises InputError: a row is in none of the journals, or in two.
    """
    import pyarrow as pa  # heavy: this module is imported with every command

    (n_records,) = {journal.finished["n_records"] for journal in journals if journal.finished}
    has_reasons = any(journal.finished.get("has_reasons") for journal in journals if journal.finished)
    n_rows = n_renamed = 0
    for block in _blocks(_slices(journals)):
        columns = dict(zip(block[0].column_names, pa.concat_tables(block).columns, strict=True))
        why = columns.pop(WHY)
        reasons = {REASON: why} if has_reasons else {}
        apart = kept_apart(columns, reasons)
        n_renamed = sum(name not in apart for name in columns)
        columns = apart | reasons
        table.append(columns)
        on_block(columns)
        n_rows += sum(part.num_rows for part in block)
        progress.update(fraction=n_rows / n_records)
    notices[RENAMED] += n_renamed
    table.close()
    return n_rows


def _slices(journals: Sequence[Journal]) -> Iterator["pyarrow.Table"]:
    """The rows in order, those that lie together in a journal's part as one slice of it."""
    parts: dict[Journal, tuple[bytes, pyarrow.Table, int]] = {}  # of each journal: the part it is in
    schema: pyarrow.Schema | None = None
    for (journal, key), together in groupby(in_order(journals), lambda found: (found[1], _key_of(*found))):
        entries = [entry for entry, _ in together]
        n_rows = len(entries)
        current, part, first = parts.get(journal, (b"", None, 0))
        if current != key:
            part, first = _part_of(entries[0], journal), 0
        schema = schema or part.schema
        if not part.schema.equals(schema) or first + n_rows > part.num_rows:
            raise damaged(entries[0], journal)
        yield part.slice(first, n_rows)
        parts[journal] = (key, part, first + n_rows)


def _key_of(entry: Entry, journal: Journal) -> bytes:
    """That of the part of the journal in which a row stands. Raises InputError where there is none."""
    if len(entry.keys) != 1:
        raise damaged(entry, journal)
    return entry.keys[0]


def _part_of(entry: Entry, journal: Journal) -> "pyarrow.Table":
    try:
        part = unpack_columns(journal.row(_key_of(entry, journal)))
    except ValueError as error:
        raise damaged(entry, journal) from error
    if WHY not in part.column_names or len(set(part.column_names)) < len(part.column_names):
        raise damaged(entry, journal)
    return part


def _blocks(slices: Iterator["pyarrow.Table"]) -> Iterator[list["pyarrow.Table"]]:
    gathered: list[pyarrow.Table] = []
    n_rows = n_bytes = 0
    for part in slices:
        gathered.append(part)
        n_rows, n_bytes = n_rows + part.num_rows, n_bytes + part.nbytes
        if n_rows >= ROWS_PER_BLOCK or n_bytes >= BYTES_PER_BLOCK:
            yield gathered
            gathered, n_rows, n_bytes = [], 0, 0
    if gathered:
        yield gathered
