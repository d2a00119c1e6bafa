"""Scores in a journal: rows are scored into it chunk by chunk, and finished journals become one table.

Each chunk is scored and committed. It is then safe, whatever happens after it, so that a run that was stopped
continues from there.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from biofm.core import Progress
from biofm.core.journal import Entry, Fields, Journal, key_of
from biofm.core.tables import RENAMED, Columns, Table, kept_apart
from biofm.inference import EMPTY_ROWS, REASON
from biofm.inference.runs import Shard, damaged, in_order
from biofm.inference.scoring.columns import WHY, output_columns, pack_columns, unpack_columns
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
    """Return everything besides the input that decides the bits of the scores and their columns.

    Args:
        scorer: The models and the method.
        provenance: How the scores are made.
        names: The names of the models' columns.
        shard: The part of the input that the run scores.
    """
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
    """Score the rows of a shard that the journal does not hold yet.

    Args:
        rows: The rows of the whole input.
        scorer: The models and the method.
        names: The names of the models' columns.
        journal: The journal of the run, which has begun.
        shard: The part of the input to score.
        where: The name of the input, for messages.
        notices: Counts what a reader of the scores should know.
        progress: Shows how far the run is.
        on_error: What happens to a row for which a model's numbers are not finite: "skip" leaves its score
            empty, "stop" raises an error.

    Raises:
        InputError: A row is at fault, or rows that the journal holds have changed in the input.
        ModelError: A model's weights are not finite, and ``on_error`` is "stop". The chunks before are kept.
        OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too large
            for the memory. The chunks before are kept.
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
    """Reports to ``progress`` how far the scoring is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_begun = False
        self.n_tokens = self.n_chunk_tokens = 0

    def begin(self, chunk: Chunk, n_new_tokens: int) -> None:
        """Begin a chunk that takes ``n_new_tokens``. Another session did what lies before the first chunk."""
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
    """Holds the counts of a shard.

    Attributes:
        n_variants: How many rows it has.
        n_unscored: How many of them have no score.
        n_scored: How many of them this session scored.
        n_tokens: How many tokens the models processed in all sessions.
    """

    n_variants: int
    n_unscored: int
    n_scored: int
    n_tokens: int


def totals_of_journal(journal: Journal, n_before: int) -> ScoreTotals:
    """Return the counts of a finished journal.

    Args:
        journal: The journal.
        n_before: How many rows it held when this session began.
    """
    n_done = journal.n_done
    return ScoreTotals(n_done, count_unscored([journal]), n_done - n_before, journal.counts["tokens"])


def totals_of_rows(rows: Rows, shard: Shard) -> ScoreTotals:
    """Return the counts of a shard that an earlier session scored, without its journal.

    Args:
        rows: The rows of the whole input, which are read to their end.
        shard: The part of the input to count.
    """
    have_variants = Counter(isinstance(row.variant, Variant) for row in of_shard(rows, shard))
    return ScoreTotals(have_variants.total(), n_unscored=have_variants[False], n_scored=0, n_tokens=0)


def count_unscored(journals: Sequence[Journal]) -> int:
    """Count the rows that lack the score of at least one model.

    Args:
        journals: The journals of all shards.
    """
    return sum(journal.counts["unscored"] + journal.counts["empty"] for journal in journals)


def note_empty_rows(journals: Sequence[Journal], notices: Counter[str]) -> None:
    """Put into the notices how many rows are empty because a model's numbers are not finite.

    Args:
        journals: The journals of all shards.
        notices: Counts what a reader of the scores should know.
    """
    if n_empty := sum(journal.counts["empty"] for journal in journals):
        notices[EMPTY_ROWS] = n_empty


def write_scores(
    journals: Sequence[Journal],
    table: Table,
    progress: Progress,
    notices: Counter[str],
    on_block: Callable[[Columns], None] = lambda columns: None,
) -> int:
    """Write the scores of finished journals into a table in the order of the input, and close it.

    If empty rows were allowed, a column says why rows are empty.

    Args:
        journals: The journals of all shards of one input.
        table: The opened output.
        progress: Shows how far the writing is.
        notices: Counts the columns of the input that are renamed.
        on_block: Called with every block of rows.

    Returns:
        How many rows were written.

    Raises:
        InputError: A row is in none of the journals, is in two of them, or is damaged.
    """
    import pyarrow as pa  # slow to import, and every command imports this module

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
    """Yield the rows in the order of the input; neighbours in one part of a journal come as one slice."""
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
    """Return the key of the part of the journal that holds the row. Raise InputError if there is none."""
    if len(entry.keys) != 1:
        raise damaged(entry, journal)
    return entry.keys[0]


def _part_of(entry: Entry, journal: Journal) -> "pyarrow.Table":
    """Return the part of the journal that holds the row. Raise InputError if it is damaged."""
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
