"""Rows to score: the variants of a table, or every substitution of a protein."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from biofm_datasets import Change, DataError, NoProteinError, parse_variant
from biofm_datasets.changes import changes_between, fitting_offset, locate, splice
from biofm_datasets.protein import refuse_no_protein
from biofm_datasets.table_parts import TablePart
from biofm_datasets.tables import find_column
from biofm_datasets.variants import named_residues

from biofm.core.errors import InputError, input_errors
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.options import MUTATED_COLUMN, VARIANT_COLUMNS, ScoreOptions
from biofm.inference.scoring.wild_types import WildTypes, clean_cell
from biofm.modalities import Modality
from biofm.modalities.values import sequence_of, texts_of

ROWS_PER_PART = 2048
MOST_HELD = 64
"""Parts of a table, 131,072 rows, that are in memory together until one has a variant."""
NO_PROTEIN = "variants that make no protein, such as stop codons, whose score is NaN"
UNSCORED = "rows of the input without a score; the column reason says why"
DISAGREE = "rows whose variant and whose mutated_sequence disagree; the {} was scored"

N_TRIED = 1000  # variants by which an offset is guessed


@dataclass(frozen=True, slots=True)
class Cases:
    """Some variants, or what stands in their place; the columns that stand beside their scores, and the place
    of each, for messages.

    ``share_before`` and ``share_behind``: how much of the input, from 0 to 1, was read before them and with
    them; None where one cannot know.
    """

    columns: dict[str, Any]
    variants: Sequence[Variant | Unscored]
    where: Callable[[int], str]
    share_before: float | None = None
    share_behind: float | None = None

    def share_of(self, n_done: int) -> float | None:
        """How much of the input is done when the first ``n_done`` of these variants are."""
        if self.share_before is None or self.share_behind is None:
            return None
        return self.share_before + (self.share_behind - self.share_before) * n_done / len(self.variants)


def cases_of_table(
    parts: Iterable[TablePart],
    wild_types: WildTypes,
    modality: Modality,
    options: ScoreOptions,
    notices: Counter[str],
    share_read: Callable[[], float | None] = lambda: None,
) -> Iterator[Cases]:
    """The rows of a table in order, their variants checked against their wild types.

    Raises InputError, naming file and line: the table is at fault, one of its variants is and ``on_error`` is
    not "skip", or no row can be scored.
    """
    n_scored, source, reason = 0, "", ""
    share: float | None = 0.0
    held: list[Cases] = []  # first parts without a variant: where there are no others, no run begins
    with input_errors():
        for part in parts:
            variants = list(_PartReader(part, wild_types(part), modality, options, notices).read())
            n_scored, source = n_scored + sum(isinstance(one, Variant) for one in variants), part.source
            reason = reason or next((one.reason for one in variants if isinstance(one, Unscored)), "")
            before, share = share, share_read()
            some = Cases(_passed_on(part), variants, part.where, before, share)
            held.append(some)
            if n_scored or len(held) > MOST_HELD:
                yield from held
                held.clear()
    if not n_scored:
        raise InputError(f"no row can be scored; of the first: {reason}", where=source)


class _PartReader:
    """The variants of one part of a table."""

    def __init__(
        self,
        part: TablePart,
        wild_type_of: Callable[[int], str],
        modality: Modality,
        options: ScoreOptions,
        notices: Counter[str],
    ) -> None:
        column, self.holds_sequences = options.find_column(part.names, part.source)
        self.texts = part.texts(column)
        self.others = self._other_texts(part, column)
        self.part = part
        self.wild_type_of = wild_type_of
        self.modality = modality
        self.options = options
        self.notices = notices

    def read(self) -> Iterator[Variant | Unscored]:
        """Of every row its variant, or why it has none that could be scored."""
        for row in range(len(self.part)):
            try:
                variant = self._variant(row)
                self._compare(row, variant)
                yield variant
            except DataError as error:
                if self.options.on_error == "stop" and not isinstance(error, NoProteinError):
                    where = error.where or self.part.where(row)
                    raise DataError(error.what, where=where, remedy=error.remedy) from error
                self.notices[UNSCORED] += 1
                yield Unscored(error.what)

    def _other_texts(self, part: TablePart, column: str) -> list[str] | None:
        """The cells that say the same in the other way, if the table has both under their usual names."""
        usual = VARIANT_COLUMNS if self.holds_sequences else (MUTATED_COLUMN,)
        other = next((name for name in usual if name in part.names and name != column), None)
        return None if other is None else part.texts(other)

    def _compare(self, row: int, variant: Variant) -> None:
        """Count a row whose two columns say different things; a cell that says nothing is left aside."""
        if self.others is None or not self.others[row]:
            return
        other = self.others[row]
        try:
            if not self.holds_sequences:
                is_same = "".join(other.split()).upper().removesuffix("*") == variant.mutated
            else:
                located = locate(parse_variant(other), variant.wild_type, offset=self.options.offset)
                is_same = splice(located, variant.wild_type) == variant.mutated
        except DataError:
            is_same = False
        self.notices[DISAGREE.format("sequence" if self.holds_sequences else "variant")] += not is_same

    def _variant(self, row: int) -> Variant:
        wild_type, text = self.wild_type_of(row), self.texts[row]
        if self.holds_sequences:
            refuse_no_protein(text)
            mutated = clean_cell(text, self.modality, self.notices, insists=True)  # as its wild type was read
            changes = changes_between(wild_type, mutated)
            if text.endswith("*") and any(_cuts_short(change, wild_type) for change in changes):
                raise NoProteinError(f"a stop codon behind {len(text) - 1:,} residues")
            return Variant(wild_type, changes)
        try:
            changes = parse_variant(text)
        except NoProteinError:
            self._locate(row, text, wild_type, named_residues(text))  # another protein's is a fault
            raise
        return Variant(wild_type, self._locate(row, text, wild_type, changes))

    def _locate(self, row: int, text: str, wild_type: str, changes: Sequence[Change]) -> tuple[Change, ...]:
        try:
            return locate(changes, wild_type, offset=self.options.offset)
        except DataError as error:
            where = f"{self.part.where(row)} ({text})"
            remedy = self._guess_offset(wild_type) if self.options.on_error == "stop" else ""
            raise DataError(error.what, where=where, remedy=remedy) from error

    def _guess_offset(self, wild_type: str) -> str:
        """A remedy: the offset with which this part's variants of the protein would fit, if one does."""
        fitting = fitting_offset(islice(self._parsed_of(wild_type), N_TRIED), wild_type)
        if fitting is None:
            return "Check the numbering (--offset) and the wild type"
        if fitting == self.options.offset:
            return "Others near it fit: check this variant, and whether the wild type is another allele"
        return f"With --offset {fitting} this variant and those near it would fit"

    def _parsed_of(self, wild_type: str) -> Iterator[tuple[Change, ...]]:
        for row, text in enumerate(self.texts):
            try:
                if self.wild_type_of(row) == wild_type:
                    yield parse_variant(text)
            except DataError:
                continue  # another row's fault, which is shown when its turn comes


def _cuts_short(change: Change, wild_type: str) -> bool:
    """Whether the end of the protein is gone."""
    return change.stop == len(wild_type) + 1 and len(change.mutant) < len(change.wild)


def cases_of_values(
    wild_type: Any,
    variants: Any,
    modality: Modality,
    options: ScoreOptions,
    notices: Counter[str],
    *,
    insists: bool = False,
) -> list[Variant | Unscored]:
    """The variants of one wild type, given as Python values. Raises InputError, counting from 1.

    A wild type whose letters speak for another modality is a fault, unless the caller ``insists``.
    """
    texts = texts_of(variants, "variants")
    places = tuple(f"number {i}" for i in range(1, len(texts) + 1))
    part = TablePart("the given variants", ("variant",), (texts,), places)
    with input_errors():
        clean = clean_cell(sequence_of(wild_type, "the wild type"), modality, notices, insists=insists)
        found = list(_PartReader(part, lambda row: clean, modality, options, notices).read())
    if n_unscored := notices.pop(UNSCORED, 0):
        notices[NO_PROTEIN] = n_unscored
    return found


def _passed_on(part: TablePart) -> dict[str, Any]:
    """The columns of the input by name. Raises DataError where names repeat."""
    for name in part.names:
        find_column(part.names, name, part.source)
    return dict(zip(part.names, part.columns, strict=True))
