"""Sources: rows to score come from files of variants and wild types, or from a scan of all substitutions."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from biofm_datasets import DataError, Record
from biofm_datasets.formats import is_table
from biofm_datasets.table_parts import TablePart, read_table

from biofm.core.errors import InputError, OptionError
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference.runs import Intake, share_reader
from biofm.inference.scoring.cases import (
    ROWS_PER_PART,
    Cases,
    WildTypes,
    cases_of_table,
    check_unmasked,
    clean_cell,
)
from biofm.inference.scoring.options import ScoreOptions
from biofm.inference.scoring.scan import cases_of_scan
from biofm.modalities import Modality
from biofm.modalities.modality import check_asked
from biofm.modalities.records import RecordOptions, check_format, records_of_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Names the files that variants and their wild types come from, and says how they are read.

    Attributes:
        variants: The table of variants. None scores every substitution of the wild types, and ``all_singles``
            must be True.
        wild_type: The file of wild types. None takes them from the table of variants.
        all_singles: Whether every substitution of the wild types is scored.
        only_one: Whether there may be only one wild type, because a picture shows one.
        sequence_column: The column of the wild types' sequences, in the table of wild types or, without a
            file of these, in the table of variants.
        protein_column: The column of the wild types' names, in the table of variants and, if they come in a
            table, in that of the wild types.
        format: The format of the variants or, without variants, of the wild types. None goes by the file's
            name.
        modality: The modality that the user named; None if the user named none.

    Raises:
        OptionError: The choices do not fit each other.
    """

    variants: Path | None
    wild_type: Path | None
    all_singles: bool = False
    only_one: bool = False
    sequence_column: str | None = None
    protein_column: str | None = None
    format: str | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        check_format(self.format)
        if self.variants is None and not self.all_singles:
            remedy = "Give a table of variants, or --all-singles"
            raise OptionError("there is nothing to score", remedy=remedy)
        if self.variants is not None and self.all_singles:
            what = "a run scores either a table of variants or all substitutions"
            raise OptionError(what, where="--all-singles", remedy="Give one of them")
        if self.only_one and not self.all_singles:
            what = "only the scores of all substitutions can be drawn"
            raise OptionError(what, where="--picture", remedy="Give it with --all-singles")
        if self.wild_type is None and (self.all_singles or self.sequence_column is None):
            remedy = "Give a FASTA file or, if the table holds the wild types, --sequence-column"
            raise OptionError("no wild type is given", where="--wild-type", remedy=remedy)
        if self.protein_column is not None and not self._are_named():
            what = "a column of the names of wild types has no use here"
            raise OptionError(what, where="--protein-column", remedy="Leave it out, or give --wild-type")
        if self.wild_type is not None:
            self._check_file(self.wild_type)

    def _check_file(self, wild_type: Path) -> None:
        """Raise OptionError if the file of wild types does not fit the other choices."""
        if self.sequence_column is not None and not self._is_table():
            what = "both a file and a column of wild types are given"
            raise OptionError(what, where="--sequence-column", remedy="Give one of them")
        if self.variants == wild_type:
            what = "variants and wild types cannot be given as the same file"
            remedy = "If the table holds both, leave out --wild-type and give --sequence-column"
            raise OptionError(what, where=str(wild_type), remedy=remedy)
        if self.sequence_column is None and self._is_table():
            what = "this is a table, but no column of wild types is named"
            raise OptionError(what, where=str(wild_type), remedy="Name it with --sequence-column")

    @property
    def name(self) -> str:
        """The name of the file that the rows come from, which messages show."""
        return _spelt(self.variants or self.wild_type)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """Return the files that are read, by role: "variants" and "wild_type"."""
        roles = {"variants": self.variants, "wild_type": self.wild_type}
        return {role: (path,) for role, path in roles.items() if path is not None}

    def cases(
        self,
        opened: Callable[[str], BinaryIO],
        modality: Modality,
        options: ScoreOptions,
        notices: Counter[str],
    ) -> Iterator[Cases]:
        """Yield the rows to score, in order.

        Args:
            opened: Returns the opened file of a role.
            modality: What the models read.
            options: How variants are read and scored.
            notices: Counts what a reader of the scores should know.

        Raises:
            OptionError: The user named another modality, or the options do not fit the files.
            InputError: A file is at fault. It is raised while the rows are read.
        """
        check_asked(self.modality, modality)
        if self.variants is None:
            options.refuse_columns()
            records = self._records(opened("wild_type"), modality, options.on_error, notices)
            proteins = _only_one(records) if self.only_one else records
            return cases_of_scan(Intake(proteins, opened("wild_type")), options.offset, notices)
        if self.wild_type is None:
            assert self.sequence_column is not None, "checked above"
            wild_types = wild_types_of_column(
                self.sequence_column, modality, notices, insists=self.modality is not None
            )
        else:
            records = self._records(opened("wild_type"), modality, "stop", notices)
            wild_types = wild_types_of_records(records, str(self.wild_type), self.protein_column)
        stream = opened("variants")
        parts = read_table(stream, self.name, n_rows=ROWS_PER_PART, word=self.format)
        return cases_of_table(parts, wild_types, modality, options, notices, share_reader(stream))

    def _records(
        self, stream: BinaryIO, modality: Modality, on_error: str, notices: Counter[str]
    ) -> Iterator[Record]:
        """Yield the records of the file of wild types."""
        assert self.wild_type is not None
        id_column = self.protein_column if self._is_table() else None
        reading = RecordOptions(
            column=self.sequence_column,
            id_column=id_column,
            on_error=on_error,
            gaps="refuse",
            format=self._wild_type_format,
            modality=self.modality,
        )
        return records_of_file(stream, _spelt(self.wild_type), modality, reading, notices)

    def _is_table(self) -> bool:
        assert self.wild_type is not None
        return is_table(self.wild_type.name, self._wild_type_format)

    @property
    def _wild_type_format(self) -> str | None:
        return self.format if self.variants is None else None

    def _are_named(self) -> bool:
        """Return whether the names of wild types are used.

        They find the wild type of a row, or are the ids of records in a table.
        """
        return self.wild_type is not None and (self.variants is not None or self._is_table())


def _only_one(records: Iterator[Record]) -> Iterator[Record]:
    """Yield the record if there is only one. Raise InputError if there are several."""
    first = list(islice(records, 2))
    if len(first) > 1:
        remedy = "Leave out --picture, or give a file with one protein"
        raise InputError("a picture shows only one protein", where=first[1].where, remedy=remedy)
    yield from first


def wild_types_of_records(records: Iterable[Record], name: str, protein_column: str | None) -> WildTypes:
    """Look up wild types in the records of a file with this ``name``.

    One record is the wild type of every row. If there are several, the table's ``protein_column`` holds the
    id of the row's record. Raise InputError for an id that repeats, for a masked residue, and if there are
    several records and no column is named.
    """
    sequences: dict[str, str] = {}
    for record in records:
        if record.id in sequences:
            raise InputError("an earlier record has the same id", where=record.where, remedy="Rename one")
        sequences[record.id] = check_unmasked(record).sequence
    if protein_column is None:
        if len(sequences) > 1:
            what = f"{len(sequences):,} wild types, but no column says which of them a row belongs to"
            raise InputError(what, where=name, remedy="Name the column of their names with --protein-column")
        (only,) = sequences.values()
        return lambda part: lambda row: only

    def find(part: TablePart) -> Callable[[int], str]:
        ids = part.texts(protein_column)

        def of_row(row: int) -> str:
            if ids[row] not in sequences:
                raise DataError(f"there is no protein {ids[row]!r} in {name}", remedy="Check its spelling")
            return sequences[ids[row]]

        return of_row

    return find


def wild_types_of_column(
    column: str, modality: Modality, notices: Counter[str], *, insists: bool = False
) -> WildTypes:
    """Look up wild types in a ``column`` of the table of variants, where every row holds its own.

    A sequence that looks like one of another modality is a fault of its row, unless the caller ``insists``.
    """

    def find(part: TablePart) -> Callable[[int], str]:
        texts = part.texts(column)
        # Cached, so that the rows of one protein share one string.
        clean = cache(lambda text: clean_cell(text, modality, notices, insists=insists))
        return lambda row: clean(texts[row])

    return find


def _spelt(path: Path | None) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)
