"""Scores in a journal: rows are scored into it chunk by chunk, and finished journals become one table.

Each chunk is scored, committed and then safe, whatever happens after it, so that a run that was stopped goes
on where it ended.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from biofm.core import Progress
from biofm.core.journal import Entry, Fields, Journal, key_of
from biofm.core.tables import Columns, Table, kept_apart
from biofm.inference import EMPTY_ROWS, REASON
from biofm.inference.runs import Shard, damaged, in_order
from biofm.inference.scoring.columns import RENAMED, WHY, output_columns, pack_columns, unpack_columns
from biofm.inference.scoring.methods import Variant
from biofm.inference.scoring.rows import Chunk, Rows, chunks, of_shard
from biofm.inference.scoring.scorer import Scorer

if TYPE_CHECKING:
    import pyarrow

ROWS_PER_BLOCK = 4096
BYTES_PER_BLOCK = 64 << 20


def fingerprint_of_scores(
    scorer: Scorer, provenance: Mapping[str, Any], names: Sequence[str], shard: Shard
) -> Fields:
    """Everything that decides the bits of the scores and their columns, except the input."""
    how = {name: value for name, value in provenance.items() if name != "models"}
    runners = [model.runner for model in scorer.models]
    return how | {
        "verb": "score",
        "columns": ", ".join(names),
        "sha256": ", ".join(model.sha256 for model in scorer.models),
        "tokens_per_batch": runners[0].tokens_per_batch,
        "threads": torch.get_num_threads() if runners[0].device.type == "cpu" else 0,
        "shard": str(shard),
    }


def score_to_journal(
    rows: Rows,
    scorer: Scorer,
    names: Sequence[str],
    journal: Journal,
    shard: Shard,
    where: str,
    notices: Counter[str],
    progress: Progress,
    *,
    on_error: str = "stop",
) -> None:
    """Score the rows that ``journal``, which has begun, does not hold yet.

    ``names`` are those of the models' columns, and ``where`` is the input's, for messages. Raises InputError
    where rows that the journal holds have changed in the input. Raises ModelError or OptionError where a
    model's numbers for a row are not finite and ``on_error`` is not "skip"; the chunks before stay.
    """
    own = journal.remaining(of_shard(rows, shard), lambda row: row.identity, where)
    meter = _Meter(progress)
    for chunk in chunks(own, scorer):
        known = journal.known(chunk.needs)
        new = {key: need for key, need in chunk.needs.items() if key not in known}
        meter.begin(chunk, sum(map(scorer.n_tokens, new.values())))
        before = {key: journal.row(key, scorer.n_values(chunk.needs[key])) for key in known}
        answers = scorer.read(new, meter.on_run)
        variants = [variant for _, variant in chunk.scored]
        scores = scorer.score(variants, answers | before)
        if on_error == "stop":
            scorer.check(scores, [row.where for row, _ in chunk.scored])
        columns = output_columns(chunk, scorer, names, scores, notices)
        part = key_of("part", str(chunk.rows[0].number))
        entries = [Entry(row.number, [], [part], row.identity) for row in chunk.rows]
        counts = {
            "tokens": meter.n_chunk_tokens,
            "unscored": len(chunk.rows) - len(variants),
            "empty": int(np.isnan(scores).any(1).sum()),
        }
        journal.commit(entries, answers | {part: pack_columns(columns)}, counts)
    totals = {"n_records": rows.n_read, "digest": rows.digest, "notices": dict(+notices)}
    has_reasons = on_error == "skip" or journal.counts["unscored"] + journal.counts["empty"] > 0
    journal.finish(totals | {"has_reasons": has_reasons})


class _Meter:
    """Tells the progress how far the scoring is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_begun = False
        self.n_tokens = self.n_chunk_tokens = 0

    def begin(self, chunk: Chunk, n_new_tokens: int) -> None:
        """Begin a chunk that takes so many tokens. What lies before the first one was done by another
        session.
        """
        self._chunk, self._n_new_tokens, self.n_chunk_tokens = chunk, n_new_tokens, 0
        if not self._has_begun:
            self._has_begun = True
            self._progress.start_from(chunk.share_before)

    def on_run(self, n_tokens: int) -> None:
        """Count a batch of the current chunk."""
        self.n_tokens += n_tokens
        self.n_chunk_tokens += n_tokens
        before, after = self._chunk.share_before, self._chunk.share_after
        fraction = None
        if before is not None and after is not None:
            fraction = before + (after - before) * self.n_chunk_tokens / self._n_new_tokens
        self._progress.update(tokens=self.n_tokens, fraction=fraction)


class ScoreTotals(NamedTuple):
    """Counts of a shard: its rows, those without a score, those that this session scored, and the tokens that
    the models processed in all sessions.
    """

    n_variants: int
    n_unscored: int
    n_scored: int
    n_tokens: int


def totals_of_journal(journal: Journal, n_before: int) -> ScoreTotals:
    """The counts of a finished journal, which held ``n_before`` rows when this session began."""
    n_done = journal.n_done
    return ScoreTotals(n_done, count_unscored([journal]), n_done - n_before, journal.counts["tokens"])


def totals_of_rows(rows: Rows, shard: Shard) -> ScoreTotals:
    """The counts of a shard that an earlier session scored, without its journal: the rows are read to their
    end.
    """
    have_variants = Counter(isinstance(row.variant, Variant) for row in of_shard(rows, shard))
    return ScoreTotals(have_variants.total(), n_unscored=have_variants[False], n_scored=0, n_tokens=0)


def count_unscored(journals: Sequence[Journal]) -> int:
    """How many rows have no score, or not one by every model."""
    return sum(journal.counts["unscored"] + journal.counts["empty"] for journal in journals)


def note_empty_rows(journals: Sequence[Journal], notices: Counter[str]) -> None:
    """Put into ``notices`` how many rows are empty because a model's numbers are not finite."""
    if n_empty := sum(journal.counts["empty"] for journal in journals):
        notices[EMPTY_ROWS] = n_empty


def write_scores(
    journals: Sequence[Journal],
    table: Table,
    progress: Progress,
    notices: Counter[str],
    on_block: Callable[[Columns], None] = lambda columns: None,
) -> int:
    """Stream the scores of finished journals, which share one input, into ``table`` in the input's order;
    returns how many rows there are. A column says why rows are empty, where empty rows were allowed.

    ``on_block`` is called with every block of rows. ``notices`` counts the input's columns that are renamed.
    Raises InputError where a row is in none of the journals, or in two.
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
    """The rows in the input's order; neighbours in the same part of a journal come as one slice of it."""
    parts: dict[Journal, tuple[bytes, pyarrow.Table, int]] = {}  # journal -> key of its part, part, next row
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
    """The key of the part of the journal that holds the row. Raises InputError where there is none."""
    if len(entry.keys) != 1:
        raise damaged(entry, journal)
    return entry.keys[0]


def _part_of(entry: Entry, journal: Journal) -> "pyarrow.Table":
    """The part of the journal that holds the row. Raises InputError where it is damaged."""
    try:
        part = unpack_columns(journal.row(_key_of(entry, journal)))
    except ValueError as error:
        raise damaged(entry, journal) from error
    if WHY not in part.column_names or len(set(part.column_names)) < len(part.column_names):
        raise damaged(entry, journal)
    return part


def _blocks(slices: Iterator["pyarrow.Table"]) -> Iterator[list["pyarrow.Table"]]:
    """Gather slices until there are ``ROWS_PER_BLOCK`` rows or ``BYTES_PER_BLOCK`` bytes."""
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
