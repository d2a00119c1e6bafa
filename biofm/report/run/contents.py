"""What a report of a run holds."""

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
    """A model or a baseline and what was measured of it: an estimate for each measure, None where it has
    none.
    """

    name: str
    kind: Literal["model", "baseline"]
    estimates: tuple[IntervalEstimate | None, ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Models beside baselines on the same held-out data; the first measure is the one that decides.

    ``interval`` says what the bounds are. ``differences``: by the first measure, of the best model less each
    baseline, where they were compared on the same resamples. ``has_verdict``: whether sentences say who is
    best.
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
    """Facts in rows; the first cell of a row is its name. Numbers are set to the right."""

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), self.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Many short facts: names and values."""

    title: str
    values: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG, what is to be read below it, and what it shows for who cannot see it."""

    png: bytes
    caption: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run, to be read by whoever was not there.

    kind: ``pretraining``. summary: a sentence or two. facts: the few figures to see first. configuration:
    names and values, which may be mappings themselves. notices: what was changed or left out, counted.
    ended: when, as it is to be read.
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
