"""The log of a run, ``metrics.csv``, has a row every few steps with its loss, learning rate and speed."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from biofm.training.folder import damage_named, written_whole

FORMATS = {
    "step": "d",
    "tokens": "d",
    "loss": ".5f",
    "validation_loss": ".5f",
    "learning_rate": ".3e",
    "tokens_per_second": ".0f",
    "mfu": ".4g",
    "memory_bytes": "d",
}
COLUMNS = tuple(FORMATS)


def read_log(path: Path) -> list[dict[str, float]]:
    """Read the rows of a log as numbers. A row has no entry for a column that is empty.

    Raises:
        OutputError: The file is damaged.
    """
    with damage_named(path):
        return [{name: float(value) for name, value in row.items() if value} for row in _rows(path)]


def keep_rows(path: Path, last_step: int) -> None:
    """Create the log, or cut it to the rows up to ``last_step``, which stay letter for letter.

    Raises:
        OutputError: The file is damaged.
    """
    with damage_named(path):
        rows = [row for row in _rows(path) if float(row["step"]) <= last_step] if path.exists() else []
    kept = io.StringIO(newline="")
    writer = csv.DictWriter(kept, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(path) as file:
        file.write(kept.getvalue().encode())


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Write one row at the end of the log; a column that ``row`` lacks stays empty."""
    spelt = {name: format(value, FORMATS[name]) for name, value in row.items()}
    with path.open("a", newline="") as file:
        csv.DictWriter(file, COLUMNS).writerow(spelt)


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the complete rows. A run that was killed may have left a part of its last row."""
    text = path.read_bytes().decode()
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)
    names = set(rows.fieldnames or ())
    if names and not {"step"} <= names <= set(COLUMNS):
        raise ValueError("its columns are not those of a log")
    found = list(rows)
    if any(None in row or None in row.values() for row in found):
        raise ValueError("a row has more or fewer cells than there are columns")
    return found
