"""Rows: the rows of the input are numbered, and gathered into chunks that are scored and kept together."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from biofm_datasets.table_parts import take

from biofm.core.journal import key_of
from biofm.core.tables import Columns
from biofm.inference.runs import Shard
from biofm.inference.scoring.cases import Cases
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.scorer import Need, Scorer

# The number of batches that are committed together. With more, fewer batches are half empty; with fewer, a
# run that is stopped loses less work. The engine sorts them by length in chunks of its own.
BATCHES_PER_COMMIT = 32

BY_LIKELIHOOD = "variants with insertions or deletions, scored by pseudo-perplexity"
UNKNOWN = "residues of wild types read as <unk>"
IN_WINDOWS = "variants of proteins longer than a model's training, read in windows"


@dataclass(frozen=True, slots=True)
class Row:
    """Describes one row of the input.

    It has the ``index`` (from 0) in its ``cases``, and the ``number`` (from 1) in the input.
    """

    number: int
    cases: Cases
    index: int

    @property
    def variant(self) -> Variant | Unscored:
        """The variant of the row, or why it cannot be scored."""
        return self.cases.variants[self.index]

    @property
    def where(self) -> str:
        """The file and line in which the row stands, for messages."""
        return self.cases.where(self.index)

    @property
    def identity(self) -> bytes:
        """A digest of everything that makes up the row: its number, columns, cells, protein and variant."""
        cells = (f"{name}\n{column[self.index]}" for name, column in self.cases.columns.items())
        variant = self.variant
        if isinstance(variant, Unscored):
            return key_of(str(self.number), *cells, variant.reason)
        changes = ":".join(f"{change.position}{change.mutant}" for change in variant.changes)
        return key_of(str(self.number), *cells, variant.wild_type, changes)


@dataclass(slots=True)
class Chunk:
    """Holds consecutive rows of the same cases, and what must be known to score them, by key."""

    rows: list[Row] = field(default_factory=list)
    needs: dict[bytes, Need] = field(default_factory=dict)

    @property
    def scored(self) -> list[tuple[Row, Variant]]:
        """The rows that have a variant."""
        return [(row, row.variant) for row in self.rows if isinstance(row.variant, Variant)]

    @property
    def columns(self) -> Columns:
        """The columns that stand beside the scores of these rows."""
        indices = [row.index for row in self.rows]
        return {name: take(column, indices) for name, column in self.rows[0].cases.columns.items()}

    @property
    def share_before(self) -> float | None:
        """The share of the input, from 0 to 1, that lies before the first of these rows; None if unknown."""
        return self.rows[0].cases.share_of(self.rows[0].index)

    @property
    def share_after(self) -> float | None:
        """The share of the input, from 0 to 1, that is done after the last of these rows; None if unknown."""
        return self.rows[-1].cases.share_of(self.rows[-1].index + 1)


class Rows:
    """Reads the rows of all cases in order, once.

    After the last row, ``n_read`` is the number of rows, and ``digest`` tells this input from others.

    Args:
        cases: The rows of the input.
        scorer: The models and the method.
        notices: Counts what the models read in an unusual way.
    """

    def __init__(self, cases: Iterable[Cases], scorer: Scorer, notices: Counter[str]) -> None:
        self._cases = cases
        self._scorer = scorer
        self._notices = notices
        self._digest = blake2b(digest_size=16)
        self.n_read = 0

    def __iter__(self) -> Iterator[Row]:
        wild_type = ""
        counted: set[bytes] = set()
        for some in self._cases:
            for index, variant in enumerate(some.variants):
                self.n_read += 1
                row = Row(self.n_read, some, index)
                self._digest.update(row.identity)
                if isinstance(variant, Variant):
                    if variant.wild_type != wild_type:
                        wild_type = variant.wild_type
                        self._count_unknown(wild_type, counted)
                    is_other = variant.method(self._scorer.method) != self._scorer.method
                    self._notices[BY_LIKELIHOOD] += is_other
                    self._notices[IN_WINDOWS] += self._scorer.is_windowed(variant)
                yield row

    def _count_unknown(self, wild_type: str, counted: set[bytes]) -> None:
        """Count the residues for which the first model has no token, once for each protein."""
        n_unknown = self._scorer.models[0].n_unknown(wild_type)
        if n_unknown and (key := key_of(wild_type)) not in counted:
            counted.add(key)
            self._notices[UNKNOWN] += n_unknown

    @property
    def digest(self) -> str:
        """A digest of the rows that were read so far, which is written in hexadecimal digits."""
        return self._digest.hexdigest()


def of_shard(rows: Iterable[Row], shard: Shard) -> Iterator[Row]:
    """Yield the rows of a shard.

    Variants whose first change is at the same place of a protein are in one shard, because they share
    answers.
    """
    for row in rows:
        if shard.n == 1 or shard.holds(_key_of_place(row)):
            yield row


def _key_of_place(row: Row) -> bytes:
    variant = row.variant
    if isinstance(variant, Unscored):
        return row.identity
    return key_of(variant.wild_type, str(variant.changes[0].position if variant.changes else 0))


def chunks(rows: Iterable[Row], scorer: Scorer) -> Iterator[Chunk]:
    """Cut the rows into chunks of about ``BATCHES_PER_COMMIT`` batches.

    Where a chunk ends depends on the rows alone, so that a resumed run makes the same chunks.
    """
    budget = BATCHES_PER_COMMIT * max(model.runner.tokens_per_batch for model in scorer.models)
    chunk, n_tokens = Chunk(), 0
    for row in rows:
        new = {} if isinstance(row.variant, Unscored) else scorer.needs(row.variant)
        n_new = sum(scorer.n_tokens(need) for key, need in new.items() if key not in chunk.needs)
        if chunk.rows and (row.cases is not chunk.rows[0].cases or n_tokens + n_new > budget):
            yield chunk
            chunk, n_tokens = Chunk(), 0
            n_new = sum(map(scorer.n_tokens, new.values()))
        chunk.rows.append(row)
        chunk.needs |= new
        n_tokens += n_new
    if chunk.rows:
        yield chunk
