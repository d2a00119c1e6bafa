"""From parts of a table, or values in memory, to variants that are checked against their wild types."""

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
from biofm_datasets.variants import named_residues

from biofm.core.errors import InputError, input_errors
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.options import MUTATED_COLUMN, VARIANT_COLUMNS, ScoreOptions
from biofm.modalities import Modality
from biofm.modalities.values import sequence_of, texts_of

WildTypes = Callable[[TablePart], Callable[[int], str]]
"""Looks up wild types: for a part of a table, a function from a row's index in it to the clean sequence. That
function raises DataError where the row's wild type is at fault."""

ROWS_PER_PART = 2048
MOST_HELD = 64
"""So many parts of a table (131,072 rows) are held in memory at most until one of them has a variant."""
NO_PROTEIN = "variants that make no protein, such as stop codons, whose score is NaN"
UNSCORED = "rows of the input without a score; the column reason says why"
DISAGREE = "rows whose variant and whose mutated_sequence disagree; the {} was scored"

N_TRIED = 1000  # variants that are tried to guess an offset


@dataclass(frozen=True, slots=True)
class Cases:
    """Consecutive rows of the input: the variant of each, or why it has none that can be scored.

    ``columns`` are those of the input, which the output repeats beside the scores. ``where`` gives the file
    and line of a row by its index, for messages. ``share_before`` and ``share_behind`` are the shares of the
    input, from 0 to 1, that were read before and after these rows were read; None where they are unknown.
    """

    columns: dict[str, Any]
    variants: Sequence[Variant | Unscored]
    where: Callable[[int], str]
    share_before: float | None = None
    share_behind: float | None = None

    def share_of(self, n_done: int) -> float | None:
        """The share of the input, from 0 to 1, that is done with the first ``n_done`` of these rows."""
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

    ``share_read`` says how much of the table has been read, from 0 to 1. Rows that cannot be scored are
    counted in ``notices``. Raises InputError, naming file and line, where the table is at fault, where a
    variant is at fault and ``options.on_error`` is not "skip", and where no row can be scored.
    """
    n_scored, source, reason = 0, "", ""
    share: float | None = 0.0
    held: list[Cases] = []  # the first parts, until one has a variant: a table without any starts no run
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
        """The variant of every row, or why it has none that can be scored."""
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
        """The cells of the other way to give a variant, where the table has both columns under their usual
        names.
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
        """The variant of a row. Raises NoProteinError where it makes no protein, DataError where it is at
        fault.
        """
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
            self._locate(row, text, wild_type, named_residues(text))  # one of another protein is a fault
            raise
        return Variant(wild_type, self._locate(row, text, wild_type, changes))

    def _locate(self, row: int, text: str, wild_type: str, changes: Sequence[Change]) -> tuple[Change, ...]:
        """The changes in the numbering of ``wild_type``. Raises DataError where they do not fit it."""
        try:
            return locate(changes, wild_type, offset=self.options.offset)
        except DataError as error:
            where = f"{self.part.where(row)} ({text})"
            remedy = self._guess_offset(wild_type) if self.options.on_error == "stop" else ""
            raise DataError(error.what, where=where, remedy=remedy) from error

    def _guess_offset(self, wild_type: str) -> str:
        """The remedy for a variant that does not fit: the offset with which this part's variants of the
        protein would fit, where there is one.
        """
        fitting = fitting_offset(islice(self._parsed_of(wild_type), N_TRIED), wild_type)
        if fitting is None:
            return "Check the numbering (--offset) and the wild type"
        if fitting == self.options.offset:
            return "Others near it fit: check this variant, and whether the wild type is another allele"
        return f"With --offset {fitting} this variant and those near it would fit"

    def _parsed_of(self, wild_type: str) -> Iterator[tuple[Change, ...]]:
        """The changes of this part's variants of one wild type, in the table's numbering."""
        for row, text in enumerate(self.texts):
            try:
                if self.wild_type_of(row) == wild_type:
                    yield parse_variant(text)
            except DataError:
                continue  # the fault of another row, which is reported when that row is read


def _cuts_short(change: Change, wild_type: str) -> bool:
    """Whether the change removes the end of the protein."""
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
    """The variants of one wild type, given as Python values.

    Raises InputError, counting the variants from 1, where one is at fault; and, unless the caller
    ``insists``, where the wild type looks like a sequence of another modality.
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
    """The columns that the output repeats, by name. Raises DataError where a name repeats."""
    for name in part.names:
        find_column(part.names, name, part.source)
    return dict(zip(part.names, part.columns, strict=True))


def clean_cell(text: str, modality: Modality, notices: Counter[str], *, insists: bool) -> str:
    """The sequence in a cell of a table, cleaned. Raises DataError, without the cell's place, where it is at
    fault; and, unless the caller ``insists``, where it looks like a sequence of another modality.
    """
    record = Record(id="", sequence="".join(text.split()))
    try:
        return check_unmasked(modality.accept(record, notices, gaps="refuse", insists=insists)).sequence
    except (DataError, InputError) as error:
        raise DataError(error.what, remedy=error.remedy) from error


def check_unmasked(record: Record) -> Record:
    """The record itself. Raises InputError where a residue is masked, because that place cannot be scored."""
    if MASK in record.sequence:
        what = f"the sequence holds {MASK}"
        raise InputError(what, where=record.where, remedy="Give the residue that stands there, or X")
    return record
