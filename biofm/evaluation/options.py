"""What to judge, and how."""

import math
from dataclasses import dataclass

from biofm.core.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Names of columns, and how to judge. ``threshold``: measurements at or above it are positive."""

    measured: str
    scores: tuple[str, ...]
    variant: str | None = None
    sequence: str | None = None
    binary: str | None = None
    threshold: float | None = None
    split: str | None = None
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for number, name in enumerate(self.scores):
            if name in (self.measured, *self.scores[:number]):
                what = f"column {name!r} is named twice, as a score or as the measurement"
                raise OptionError(what, where="--score", remedy="Name each column once")
        if self.binary is not None and self.threshold is not None:
            what = "--binary and --threshold both say what is positive"
            raise OptionError(what, remedy="Give one of them, or neither for the median")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise OptionError(
                f"{self.threshold} is no threshold", where="--threshold", remedy="Give a number"
            )
        if self.n_resamples < 0:
            what = f"{self.n_resamples} resamples cannot be drawn"
            raise OptionError(what, where="--resamples", remedy="Give 1000, or 0 for no intervals")
