"""The contents of a report of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from biofm.core.environment import Environment
from biofm.evaluation import IntervalEstimate
from biofm.report.curves import Curves

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A column of results. ``unit`` stands behind its name."""

    name: str
    higher_is_better: bool
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A model or a baseline, with an estimate of each measure, or None where it has none."""

    name: str
    kind: Literal["model", "baseline"]
    estimates: tuple[IntervalEstimate | None, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Models beside baselines on the same held-out data; the first measure is the one that decides.

    ``interval`` says what the bounds are. ``differences``: by the first measure, the best model less each
    baseline, where both were measured on the same resamples. ``has_verdict``: whether sentences above the
    table say who is best.
    """

    title: str
    measures: tuple[Measure, ...]
    contenders: tuple[Contender, ...]
    interval: str = "95 % interval"
    differences: Mapping[str, IntervalEstimate] = field(default_factory=dict)
    has_verdict: bool = True
    note: str = ""

    def __post_init__(self) -> None:
        for contender in self.contenders:
            assert len(contender.estimates) == len(self.measures), contender.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of facts. The first cell of a row is its name; columns of numbers are aligned to the right."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), self.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """A list of short facts: names and values."""

    title: str
    values: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG, its caption, and a description for readers who cannot see it."""

    png: bytes
    caption: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The report of a run, for readers who were not there.

    kind: such as ``pretraining``. summary: a sentence or two. facts: the few figures to see first.
    configuration: names and values, which may be mappings themselves. notices: what was changed or left out,
    with counts. ended: the time of the end, as it is shown.
    """

    title: str
    kind: str
    summary: str
    environment: Environment
    facts: Mapping[str, str] = field(default_factory=dict)
    results: tuple[Results, ...] = ()
    curves: tuple[Curves, ...] = ()
    pictures: tuple[Picture, ...] = ()
    data: tuple[Table | Pairs, ...] = ()
    configuration: Mapping[str, Any] = field(default_factory=dict)
    notices: Mapping[str, int] = field(default_factory=dict)
    ended: str = ""
