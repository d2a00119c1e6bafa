"""The options of scoring, checked, and the names of the models' columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biofm_datasets import DataError
from biofm_datasets.tables import find_column, list_columns

from biofm.core.bounds import check_bound
from biofm.core.choices import ON_ERROR, ScoreMethod, check_choice
from biofm.core.errors import OptionError
from biofm.inference.scoring.methods import METHODS

VARIANT_COLUMNS = ("mutant", "variant", "mutation", "hgvs_pro")
MUTATED_COLUMN = "mutated_sequence"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """How variants are read and scored.

    ``variant_column`` names a column of variants in a notation such as A24G, ``mutated_column`` one of whole
    mutated sequences. Where both are None, the first column with a usual name is taken. ``offset`` is what
    the variants' numbering adds (see ``biofm_datasets.changes.locate``). ``on_error`` is "stop" or "skip".

    Raises OptionError for an unknown word, an offset out of bounds, or where both columns are named.
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
            what = "a column of variants and one of whole sequences are both chosen"
            raise OptionError(what, where="--mutated-column", remedy="Give one of them")

    def refuse_columns(self) -> None:
        """Raise OptionError where a column of variants is named: a scan has no table of variants."""
        for option, column in (("variant", self.variant_column), ("mutated", self.mutated_column)):
            if column is not None:
                remedy = "Leave it out: every substitution is scored"
                raise OptionError("there is no table of variants", where=f"--{option}-column", remedy=remedy)

    def find_column(self, names: Sequence[str], where: str) -> tuple[str, bool]:
        """The column of a table's variants, and whether it holds whole mutated sequences.

        Raises DataError, naming ``where``, for a table without such a column.
        """
        if chosen := self.variant_column or self.mutated_column:
            find_column(names, chosen, where)
            return chosen, self.mutated_column is not None
        usual = (*VARIANT_COLUMNS, MUTATED_COLUMN)
        found = next((name for name in usual if name in names), None)
        if found is None:
            remedy = f"Name it with --variant-column or --mutated-column. {list_columns(names)}"
            raise DataError(f"no column is named {', '.join(usual)}", where=where, remedy=remedy)
        return found, found == MUTATED_COLUMN


def column_names(models: Sequence[str]) -> list[str]:
    """Names for the columns of models: the last part of each path or name where these differ, else all of it.

    Raises OptionError for a model that is named twice.
    """
    if len(set(models)) < len(models):
        raise OptionError("a model is named twice", where="--model", remedy="Name each model once")
    short = [Path(model).name.removesuffix(".pt") for model in models]
    return short if len(set(short)) == len(short) else list(models)
