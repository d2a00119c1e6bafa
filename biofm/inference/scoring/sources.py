"""From opened files to rows to score."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from biofm_datasets import Record
from biofm_datasets.formats import is_table
from biofm_datasets.table_parts import read_table

from biofm.core.errors import InputError, OptionError
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference.intake import Intake, share_reader
from biofm.inference.scoring.cases import ROWS_PER_PART, Cases, cases_of_table
from biofm.inference.scoring.options import ScoreOptions
from biofm.inference.scoring.scan import cases_of_scan
from biofm.inference.scoring.wild_types import wild_types_of_column, wild_types_of_records
from biofm.modalities import Modality
from biofm.modalities.modality import check_asked
from biofm.modalities.records import RecordOptions, check_format, records_of_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The files that variants and their wild types come from, checked against each other.

    Without ``variants`` every substitution of the wild types is meant (``all_singles``), of a single one
    where a picture is to show it (``only_one``). ``sequence_column`` and ``protein_column`` are those of the
    wild types where they come in a table, else of the variants. ``format`` is that of the variants or, where
    there are none, of the wild types.
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
        if self.all_singles != (self.variants is None):
            what = "either a table of variants is scored, or all substitutions"
            raise OptionError(what, where="--all-singles", remedy="Give one of them")
        if self.only_one and not self.all_singles:
            raise OptionError("only a scan is drawn", where="--picture", remedy="Give it with --all-singles")
        if self.wild_type is None and (self.all_singles or self.sequence_column is None):
            remedy = "Give a FASTA file, or, of a table that holds the sequences, --sequence-column"
            raise OptionError("no wild type is given", where="--wild-type", remedy=remedy)
        if self.protein_column is not None and not self._are_named():
            what, remedy = "no wild type is looked up by its name", "Leave it out, or give --wild-type"
            raise OptionError(what, where="--protein-column", remedy=remedy)
        if self.wild_type is not None:
            self._check_file(self.wild_type)

    def _check_file(self, wild_type: Path) -> None:
        if self.sequence_column is not None and not self._is_table():
            what = "a file and a column of wild types are both given"
            raise OptionError(what, where="--sequence-column", remedy="Give one of them")
        if self.variants == wild_type:
            what = "variants and wild types cannot come from one file"
            remedy = "Of a table that holds both, name the wild types with --sequence-column alone"
            raise OptionError(what, where=str(wild_type), remedy=remedy)
        if self.sequence_column is None and self._is_table():
            what = "this is a table, and no column of wild types is chosen"
            raise OptionError(what, where=str(wild_type), remedy="Name it with --sequence-column")

    @property
    def name(self) -> str:
        """The file that the rows come from, for messages."""
        return _spelt(self.variants or self.wild_type)

    def files(self) -> dict[str, tuple[Path, ...]]:
        """What is read, by role."""
        roles = {"variants": self.variants, "wild_type": self.wild_type}
        return {role: (path,) for role, path in roles.items() if path is not None}

    def cases(
        self,
        opened: Callable[[str], BinaryIO],
        modality: Modality,
        options: ScoreOptions,
        notices: Counter[str],
    ) -> Iterator[Cases]:
        """The rows to score, of the modality that the models read, in order; ``opened`` gives the stream of a
        role. Raises OptionError where another modality was asked for.
        """
        check_asked(self.modality, modality)
        if self.variants is None:
            options.refuse_columns()
            records = self._records(opened("wild_type"), modality, options.on_error, notices)
            proteins = self._the_one(records) if self.only_one else records
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

    def _the_one(self, records: Iterator[Record]) -> Iterator[Record]:
        first = list(islice(records, 2))
        if len(first) > 1:
            remedy = "Leave out --picture, or give a file with one protein"
            raise InputError("a picture shows one protein", where=first[1].where, remedy=remedy)
        yield from first

    def _records(
        self, stream: BinaryIO, modality: Modality, on_error: str, notices: Counter[str]
    ) -> Iterator[Record]:
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
        """Whether the names of wild types matter: to find a row's, or because a table has to tell them."""
        return self.wild_type is not None and (self.variants is not None or self._is_table())


def _spelt(path: Path | None) -> str:
    return "standard input" if path == STANDARD_INPUT else str(path)
