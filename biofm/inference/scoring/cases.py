"""Cases: parts of a table, or values in memory, become variants that are checked against their wild types."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from biofm_datasets import Change, DataError, NoProteinError, Record, parse_variant
from biofm_datasets.changes import changes_between, fitting_offset, locate, splice
from biofm_datasets.protein import MASK, refuse_no_protein
from biofm_datasets.table_parts import TablePart
from biofm_datasets.tables import find_column
from biofm_datasets.text import format_count
from biofm_datasets.variants import VARIANT_COLUMNS, named_residues

from biofm.core.errors import InputError, input_errors
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.options import MUTATED_COLUMN, ScoreOptions
from biofm.modalities import Modality
from biofm.modalities.values import sequence_of, texts_of

WildTypes = Callable[[TablePart], Callable[[int], str]]
"""A function that takes a part of a table and returns another function: given a row's index in the part, it
returns the row's clean wild type, and raises DataError if that is at fault."""

ROWS_PER_PART = 2048
MOST_HELD = 64
"""The most parts of a table (131,072 rows) that are held in memory until one of them has a variant."""
NO_PROTEIN = "variants that make no protein, such as stop codons, so that their score is NaN"
UNSCORED = "rows of the input without a score; the column reason says why"
DISAGREE = "rows whose variant and mutated_sequence disagree; the {} was scored"

N_TRIED = 1000  # the number of variants that are tried to guess an offset


@dataclass(frozen=True, slots=True)
class Cases:
    """Holds consecutive rows of the input: the variant of each, or why it cannot be scored.

    Attributes:
        columns: The columns of the input, which the output repeats beside the scores.
        variants: The variant of each row, or why it cannot be scored.
        where: Returns the file and line of a row, given its index, for messages.
        share_before: The share of the input, from 0 to 1, that had been read before these rows were read;
            None where it is unknown.
        share_behind: The share of the input, from 0 to 1, that had been read once these rows were read; None
            where it is unknown.
    """

    columns: dict[str, Any]
    variants: Sequence[Variant | Unscored]
    where: Callable[[int], str]
    share_before: float | None = None
    share_behind: float | None = None

    def share_of(self, n_done: int) -> float | None:
        """Return the share of the input, from 0 to 1, that is done; None if unknown.

        Args:
            n_done: How many of these rows are done.
        """
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
    """Yield the rows of a table in order, with their variants checked against their wild types.

    ``share_read`` returns how much of the table has been read, from 0 to 1. Rows that cannot be scored are
    counted in ``notices``. Raise InputError, naming file and line, if the table is at fault, if a variant is
    at fault and ``options.on_error`` is not "skip", or if no row can be scored.
    """
    n_scored, source = 0, ""
    unscored: Unscored | None = None
    share: float | None = 0.0
    held: list[Cases] = []  # the first parts, until one has a variant: a table without variants starts no run
    with input_errors():
        for part in parts:
            variants = list(_PartReader(part, wild_types(part), modality, options, notices).read())
            n_scored, source = n_scored + sum(isinstance(one, Variant) for one in variants), part.source
            unscored = unscored or next((one for one in variants if isinstance(one, Unscored)), None)
            before, share = share, share_read()
            some = Cases(_passed_on(part), variants, part.where, before, share)
            held.append(some)
            if n_scored or len(held) > MOST_HELD:
                yield from held
                held.clear()
    if not n_scored:
        what = "no row can be scored" + (f" (the first row: {unscored.reason})" if unscored else "")
        raise InputError(what, where=source, remedy=unscored.remedy if unscored else "")


class _PartReader:
    """Reads the variants of one part of a table."""

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
        """Yield the variant of every row, or why the row cannot be scored."""
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
                yield Unscored(error.what, error.remedy)

    def _other_texts(self, part: TablePart, column: str) -> list[str] | None:
        """Return the cells of the column that gives variants in the other notation, if the table has it too.

        Only the usual names of such columns are looked for.
        """
        usual = VARIANT_COLUMNS if self.holds_sequences else (MUTATED_COLUMN,)
        other = next((name for name in usual if name in part.names and name != column), None)
        return None if other is None else part.texts(other)

    def _compare(self, row: int, variant: Variant) -> None:
        """Count a row whose two columns give different variants; an empty cell is no difference."""
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
        """Return the variant of a row.

        Raise NoProteinError if the variant makes no protein, and DataError if it is at fault.
        """
        wild_type, text = self.wild_type_of(row), self.texts[row]
        if self.holds_sequences:
            refuse_no_protein(text)
            # The wild type has been checked against its modality, so the mutated sequence is not.
            mutated = clean_cell(text, self.modality, self.notices, insists=True)
            changes = changes_between(wild_type, mutated)
            if text.endswith("*") and any(_cuts_short(change, wild_type) for change in changes):
                raise NoProteinError(f"a stop codon after {format_count(len(text) - 1, 'residue')}")
            return Variant(wild_type, changes)
        try:
            changes = parse_variant(text)
        except NoProteinError:
            # A variant of another protein is a fault of the row, which a stop codon must not hide.
            self._locate(row, text, wild_type, named_residues(text))
            raise
        return Variant(wild_type, self._locate(row, text, wild_type, changes))

    def _locate(self, row: int, text: str, wild_type: str, changes: Sequence[Change]) -> tuple[Change, ...]:
        """Return the changes in the numbering of ``wild_type``. Raise DataError if they do not fit it."""
        try:
            return locate(changes, wild_type, offset=self.options.offset)
        except DataError as error:
            where = f"{self.part.where(row)} ({text})"
            remedy = self._guess_offset(wild_type) if self.options.on_error == "stop" else ""
            raise DataError(error.what, where=where, remedy=remedy) from error

    def _guess_offset(self, wild_type: str) -> str:
        """Find the remedy for a variant that does not fit its wild type.

        It names the offset with which this part's variants of the protein would fit, if there is one.
        """
        tried = list(islice(self._parsed_of(wild_type), N_TRIED))
        fitting = fitting_offset(tried, wild_type)
        if fitting is None:
            return "Check the numbering (--offset) and the wild type"
        if fitting == self.options.offset:
            return "The variants near it fit: check this one, and whether the wild type is another allele"
        which = "this variant fits" if len(tried) == 1 else f"all {len(tried):,} variants that were tried fit"
        return f"With --offset {fitting} {which}"

    def _parsed_of(self, wild_type: str) -> Iterator[tuple[Change, ...]]:
        """Yield the changes of this part's variants of one wild type, in the table's numbering."""
        for row, text in enumerate(self.texts):
            try:
                if self.wild_type_of(row) == wild_type:
                    yield parse_variant(text)
            except DataError:
                continue  # this fault is reported when its own row is read


def _cuts_short(change: Change, wild_type: str) -> bool:
    """Return whether the change removes the end of the protein."""
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
    """Check the variants of one wild type that are given as Python values.

    Args:
        wild_type: The sequence of the wild type.
        variants: The variants as texts, in a list or another container that keeps their order.
        modality: What the models read.
        options: How variants are read and scored.
        notices: Counts what was changed or cannot be scored.
        insists: Whether the wild type is taken even if it looks like a sequence of another modality.

    Returns:
        The variant of each, or why it cannot be scored.

    Raises:
        InputError: The wild type or a variant is at fault. The message counts the variants from 1.
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
    """Return the columns that the output repeats, by name. Raise DataError if a name repeats."""
    for name in part.names:
        find_column(part.names, name, part.source)
    return dict(zip(part.names, part.columns, strict=True))


def clean_cell(text: str, modality: Modality, notices: Counter[str], *, insists: bool) -> str:
    """Clean the sequence in a cell of a table.

    Raise DataError, without the cell's place, if it is at fault or, unless the caller ``insists``, if it
    looks like a sequence of another modality.
    """
    record = Record(id="", sequence="".join(text.split()))
    try:
        return check_unmasked(modality.accept(record, notices, gaps="refuse", insists=insists)).sequence
    except (DataError, InputError) as error:
        raise DataError(error.what, remedy=error.remedy) from error


def check_unmasked(record: Record) -> Record:
    """Return the record itself. Raise InputError if a residue is masked, because it cannot be scored."""
    if MASK in record.sequence:
        what = f"the sequence holds {MASK}"
        raise InputError(what, where=record.where, remedy="Replace it by the residue there, or by X")
    return record
