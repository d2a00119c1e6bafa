"""What to judge, and how."""

import math
from dataclasses import dataclass

from biofm.core.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Names of columns, and how to judge. ``threshold``: measurements at or above it are positive."""

    measured_column: str
    score_columns: tuple[str, ...]
    variant_column: str | None = None
    mutated_column: str | None = None
    binary_column: str | None = None
    threshold: float | None = None
    split_column: str | None = None
    n_resamples: int = 1000
    seed: int = 0

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
        if self.n_resamples < 0:
            what = f"{self.n_resamples} resamples cannot be drawn"
            raise OptionError(what, where="--resamples", remedy="Give 1000, or 0 for no intervals")
        if self.seed < 0:
            raise OptionError(f"{self.seed} is too small", where="--seed", remedy="Give at least 0")
