"""The results of the benchmark: each row is written to a CSV file at once, and a table shows them all."""

import csv
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """Holds the result of one provider at one pass over one workload: how fast it was, or why it was not
    measured.

    ``times_floor`` is the time, divided by the least that arithmetic and memory need at the ceilings.
    ``error`` is relative to float64, on two sequences: the largest of the output's and the gradients' errors.
    """

    workload: str
    tokens: int
    heads: int
    head_dim: int
    which: str
    provider: str
    dtype: str
    median_ms: float | None = None
    tflops: float | None = None
    times_floor: float | None = None
    tokens_per_s: float | None = None
    error: float | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The values by which a row is known again."""
        return self.workload, str(self.heads), str(self.head_dim), self.which, self.provider


class Results:
    """Writes a CSV file that grows row by row. Rows that it holds from an earlier run are not measured
    again.
    """

    def __init__(self, path: Path, facts: dict[str, str]) -> None:
        self.path, self.facts = path, facts
        self.rows: dict[tuple[str, ...], Row] = {}
        if path.exists():
            self.rows = {row.key: row for row in _read(path)}
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write([*(field.name for field in fields(Row)), *facts])

    def has(self, key: tuple[str, ...]) -> bool:
        """Return whether the file holds a speed for this row."""
        return key in self.rows and self.rows[key].median_ms is not None

    def add(self, row: Row) -> None:
        """Write a row."""
        self.rows[row.key] = row
        values = ("" if value is None else value for value in asdict(row).values())
        self._write([*(f"{x:.5g}" if isinstance(x, float) else x for x in values), *self.facts.values()])

    def _write(self, values: list[Any]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(values)

    def print_table(self) -> None:
        """Print all rows, grouped by workload."""
        print(f"\n{', '.join(f'{name} {value}' for name, value in self.facts.items())}\n{self.path}")
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            shape = f"heads: {row.heads}, head dim: {row.head_dim}, {row.dtype}"
            groups[f"{row.workload}, {row.tokens:,} tokens, {shape}, {row.which}"].append(row)
        for title, rows in groups.items():
            print(f"\n{title}")
            print(f"{'':44} {'ms':>9} {'TFLOP/s':>8} {'/ floor':>8} {'tokens/s':>12} {'error':>8}")
            for row in rows:
                print(_line(row))


def _line(row: Row) -> str:
    """Format a row of the table."""
    if row.median_ms is None:
        return f"{row.provider:44} {row.reason[:62]}"
    error = "" if row.error is None else f"{row.error:.1e}"
    numbers = f"{row.median_ms:9.3f} {row.tflops:8.1f} {row.times_floor:8.2f} {row.tokens_per_s:12,.0f}"
    return f"{row.provider:44} {numbers} {error:>8}"


def _read(path: Path) -> list[Row]:
    """Read the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    """Parse a row."""
    values: dict[str, Any] = {field.name: line[field.name] for field in fields(Row)}
    for name in ("tokens", "heads", "head_dim"):
        values[name] = int(values[name])
    for name in ("median_ms", "tflops", "times_floor", "tokens_per_s", "error"):
        values[name] = float(values[name]) if values[name] else None
    return Row(**values)
