"""Options: this module checks the options of scoring, and names the columns of the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biofm_datasets import DataError
from biofm_datasets.tables import find_column, list_columns
from biofm_datasets.variants import VARIANT_COLUMNS

from biofm.core.bounds import check_bound
from biofm.core.choices import ON_ERROR, ScoreMethod, check_choice
from biofm.core.errors import OptionError
from biofm.inference.scoring.methods import METHODS

MUTATED_COLUMN = "mutated_sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """Says how variants are read and scored.

    Attributes:
        method: The method that scores substitutions; insertions and deletions are scored by
            pseudo-perplexity.
        offset: What the numbering of the variants adds: position p is residue p - ``offset`` of the wild
            type.
        variant_column: The column of variants in a notation such as A24G. If neither column is named, the
            first column with a usual name is taken.
        mutated_column: The column of whole mutated sequences.
        on_error: What happens to a row that is at fault: "stop" raises an error, "skip" leaves its score
            empty.

    Raises:
        OptionError: A word is unknown, the offset is out of bounds, or both columns are named.
    """

    method: ScoreMethod = "masked-marginals"
    offset: int = 0
    variant_column: str | None = None
    mutated_column: str | None = None
    on_error: str = "stop"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            remedy = f"Give {', '.join(METHODS)}"
            raise OptionError(f"no such method: {self.method}", where="--method", remedy=remedy)
        check_choice("--on-error", self.on_error, ON_ERROR)
        check_bound("offset", self.offset, "--offset")
        if self.variant_column is not None and self.mutated_column is not None:
            what = "both a column of variants and a column of whole sequences are named"
            raise OptionError(what, where="--mutated-column", remedy="Give one of them")

    def refuse_columns(self) -> None:
        """Raise OptionError if a column of variants is named: a scan has no table of variants."""
        for option, column in (("variant", self.variant_column), ("mutated", self.mutated_column)):
            if column is not None:
                remedy = "Leave it out: every substitution is scored"
                raise OptionError("there is no table of variants", where=f"--{option}-column", remedy=remedy)

    def find_column(self, names: Sequence[str], where: str) -> tuple[str, bool]:
        """Find the column of a table's variants, and tell whether it holds whole mutated sequences.

        Args:
            names: The names of the table's columns.
            where: The name of the table, for messages.

        Raises:
            DataError: The table has no such column.
        """
        if chosen := self.variant_column or self.mutated_column:
            find_column(names, chosen, where)
            return chosen, self.mutated_column is not None
        usual = (*VARIANT_COLUMNS, MUTATED_COLUMN)
        found = next((name for name in usual if name in names), None)
        if found is None:
            remedy = f"Name it with --variant-column or --mutated-column. {list_columns(names)}"
            raise DataError(f"no column is named {' or '.join(usual)}", where=where, remedy=remedy)
        return found, found == MUTATED_COLUMN


def column_names(models: Sequence[str]) -> list[str]:
    """Return the names of the models' columns.

    They are the last part of each path or name if these differ, else all of it.

    Args:
        models: The paths or names of the models, as the user gave them.

    Raises:
        OptionError: A model is named twice.
    """
    if len(set(models)) < len(models):
        raise OptionError("a model is named twice", where="--model", remedy="Name each model once")
    short = [Path(model).name.removesuffix(".pt") for model in models]
    return short if len(set(short)) == len(short) else list(models)
