"""What to judge, and how."""

import math
from dataclasses import dataclass

from biofm.core.bounds import check_bound
from biofm.core.errors import OptionError
from biofm.modalities import Modality


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Names of columns, and how to judge. ``threshold``: measurements at or above it are positive.
    ``with_mean``: the mean of the scores' ranks is judged beside them. ``modality``: what the whole sequences
    are, by whose rules they are read; letters that speak for another one are a fault, unless the caller
    ``insists``.
    """

    modality: Modality
    measured_column: str
    score_columns: tuple[str, ...]
    variant_column: str | None = None
    mutated_column: str | None = None
    binary_column: str | None = None
    threshold: float | None = None
    split_column: str | None = None
    with_mean: bool = False
    n_resamples: int = 1000
    seed: int = 0
    insists: bool = False

    def __post_init__(self) -> None:
        for number, name in enumerate(self.score_columns):
            if name in (self.measured_column, *self.score_columns[:number]):
                what = f"column {name!r} is named twice, as a score or as the measurement"
                raise OptionError(what, where="--score-column", remedy="Name each column once")
        if self.binary_column is not None and self.threshold is not None:
            what = "--binary-column and --threshold both say what is positive"
            raise OptionError(what, remedy="Give one of them, or neither for the median")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise OptionError(
                f"{self.threshold} is no threshold", where="--threshold", remedy="Give a number"
            )
        if self.with_mean and len(self.score_columns) < 2:
            what = "one score has no mean with others"
            raise OptionError(what, where="--mean-rank", remedy="Name several with --score-column")
        if self.variant_column is not None and not self.modality.has_variants:
            raise unread_variants(self.modality, "--variant-column")
        check_bound("n_resamples", self.n_resamples, "--resamples")
        check_bound("seed", self.seed, "--seed")


def unread_variants(modality: Modality, option: str) -> OptionError:
    """The error for an option that is about variants, where nobody here can read those of the modality."""
    what = f"the table is of {modality.words.items}, whose variants nobody here can read"
    return OptionError(
        what, where=option, remedy="Leave it out, and name whole sequences with --mutated-column"
    )
