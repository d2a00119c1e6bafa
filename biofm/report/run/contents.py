"""Contents of a report: the classes that hold what a report of a run shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from biofm.core.environment import Environment
from biofm.evaluation import IntervalEstimate
from biofm.report.curves import Curves

Cell = str | int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Describes a column of results.

    Attributes:
        name: Name of the measure.
        higher_is_better: Whether a higher value is better. False for errors and perplexities.
        unit: Unit, shown behind the name; empty if the measure has none.
        n_judged: Number of rows or sequences behind a value and its interval; None if it is not known.
        judged: Word for one of them.
    """

    name: str
    higher_is_better: bool
    unit: str = ""
    n_judged: int | None = None
    judged: str = "row"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Holds the results of a model or a baseline.

    Attributes:
        name: Name in the table.
        kind: Whether it is a model or a baseline.
        estimates: Estimate of each measure, or None for a measure without one.
        note: Text below the name.
        may_be_best: Whether the table may mark its values as the best. It must not where they are no better
            than those of a constant.
    """

    name: str
    kind: Literal["model", "baseline"]
    estimates: tuple[IntervalEstimate | None, ...]
    note: str = ""
    may_be_best: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Holds models beside baselines on the same held-out data. The first measure decides which is best.

    Attributes:
        title: Title of the table.
        measures: Columns of the table.
        contenders: Rows of the table.
        interval: What the bounds of the estimates are.
        differences: Value of the best model minus that of each baseline in the first measure, by the name of
            the baseline. Both are measured on the same resamples.
        has_comparison: Whether sentences above the table say which is best.
        advice: What to do if a baseline is better; it ends the sentence.
        note: Text below the table.
    """

    title: str
    measures: tuple[Measure, ...]
    contenders: tuple[Contender, ...]
    interval: str = "95 % interval"
    differences: Mapping[str, IntervalEstimate] = field(default_factory=dict)
    has_comparison: bool = True
    advice: str = "use the baseline"
    note: str = ""

    def __post_init__(self) -> None:
        for contender in self.contenders:
            assert len(contender.estimates) == len(self.measures), contender.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Holds a table of facts. The first cell of a row is its name; columns of numbers are aligned to the
    right.

    Attributes:
        title: Title of the table.
        header: Names of the columns.
        rows: Cells of each row.
        note: Text below the table.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), self.title


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Holds a list of short facts.

    Attributes:
        title: Title of the list.
        values: Values by their names.
        note: Text below the list.
    """

    title: str
    values: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Holds a picture of a page.

    Attributes:
        png: Bytes of the PNG file.
        caption: Text below the picture.
        description: What the picture shows, for readers who cannot see it.
    """

    png: bytes
    caption: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Holds the contents of a report of a run, for readers who were not there.

    Attributes:
        title: Heading of the page.
        kind: Kind of the run, for example "pretraining".
        summary: One or two sentences below the heading.
        environment: Versions, machine and devices of the run.
        facts: The few figures to see first, by their names.
        results: Tables of results.
        curves: Curves over the run.
        pictures: Pictures.
        data: Tables and lists that describe the data.
        configuration: Settings by their names; a value may be a mapping itself.
        notices: Sentences on what was changed or left out, with counts.
        ended: Time of the end, as it is shown.
        models: Names of the models that the run started from; a demonstration model is named below the
            summary.
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
    models: tuple[str, ...] = ()
