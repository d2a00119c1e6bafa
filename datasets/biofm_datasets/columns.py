"""Chosen columns of a table in memory: numbers for arithmetic, texts for names.

Needs numpy, so it is imported from here and not from the package.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.errors import DataError
from biofm_datasets.table_parts import TablePart, read_table
from biofm_datasets.text import MISSING

LARGEST = 1e100  # sums of squares must stay finite; what lies beyond is some program's mark for no value

ROWS_AT_ONCE = 4096

_REMEDY = "Correct the cell, or leave it empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """``numbers`` hold NaN where a cell is empty; ``places`` says of each row where it stands in the file."""

    name: str
    places: list[str]
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, list[str]]

    def where(self, row: int) -> str:
        """The place of a row for a message: ``assay.csv, line 17``."""
        return f"{self.name}, {self.places[row]}"


def stop_at(fault: DataError) -> None:
    """What to do at a faulty row unless told otherwise."""
    raise fault


def read_columns(
    stream: BinaryIO,
    name: str,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    at_fault: Callable[[DataError], None] = stop_at,
) -> Columns:
    """Read these columns of a CSV, TSV or Parquet file.

    Empty cells, and the usual words for them (``MISSING``), are NaN among numbers. Where another cell is no
    finite number of a size up to ``LARGEST``, ``at_fault`` gets the fault, with its place and column, and the
    row is left out if that returns.

    Raises DataError for every fault of the file as a whole, and for a column that is absent or there twice.
    """
    places: list[str] = []
    values: list[list[float]] = []
    words: list[list[str]] = []
    for part in read_table(stream, name, n_rows=ROWS_AT_ONCE):
        cells = [part.texts(column) for column in numbers]
        kept_texts = [part.texts(column) for column in texts]
        for row in range(len(part)):
            try:
                values.append(_row_of_numbers(part, numbers, cells, row))
            except DataError as fault:
                at_fault(fault)
                continue
            places.append(part.places[row])
            words.append([column[row] for column in kept_texts])
    table = np.array(values, np.float64).reshape(len(values), len(numbers))
    return Columns(
        name=name,
        places=places,
        numbers={column: table[:, i] for i, column in enumerate(numbers)},
        texts={column: [row[i] for row in words] for i, column in enumerate(texts)},
    )


def find_numeric_columns(stream: BinaryIO, name: str) -> list[str]:
    """The columns in which every cell is a number or empty, and one at least is a number."""
    n_numbers: dict[str, int] = {}
    others: set[str] = set()
    for part in read_table(stream, name, n_rows=ROWS_AT_ONCE):
        for column in part.names:
            if column in others or part.names.count(column) > 1:
                continue
            cells = [cell for cell in part.texts(column) if cell.lower() not in MISSING]
            n_numbers[column] = n_numbers.get(column, 0) + len(cells)
            if any(parse_number(cell) is None for cell in cells):
                others.add(column)
    return [column for column, count in n_numbers.items() if count and column not in others]


def _row_of_numbers(
    part: TablePart, names: Sequence[str], cells: Sequence[Sequence[str]], row: int
) -> list[float]:
    return [
        read_number(column[row], f"{part.where(row)}, column {name!r}")
        for name, column in zip(names, cells, strict=True)
    ]


def read_number(cell: str, where: str, most: float = LARGEST) -> float:
    """The number in a cell, NaN where it is empty. Raises DataError as ``read_columns`` says, for a size
    beyond ``most`` in the place of ``LARGEST``.
    """
    if cell.lower() in MISSING:
        return math.nan
    number = parse_number(cell)
    if number is None:
        raise DataError(f"{cell!r} is no number", where=where, remedy=how_to_mend(cell))
    if not math.isfinite(number):
        raise DataError(f"{cell!r} is not finite", where=where, remedy=_REMEDY)
    if abs(number) > most:
        what = f"{cell!r} is too large to compute with, beyond {most:g}"
        raise DataError(what, where=where, remedy=_REMEDY)
    return number


def how_to_mend(cell: str) -> str:
    """What to do with a cell that is no number, in the ways in which instruments and people write them."""
    if cell[:1] in "<>≤≥~" and parse_number(cell.lstrip("<>=≤≥~ ")) is not None:
        return "A limit is no measurement: leave the cell empty, or write the limit as a number"
    before, comma, behind = cell.partition(",")
    if comma and parse_number(f"{before}.{behind}") is not None:
        point = f"Write a decimal point: {before}.{behind}"
        return f"{point}; or {before}{behind}, where the comma parts thousands" if len(behind) == 3 else point
    return _REMEDY


def parse_number(cell: str) -> float | None:
    """What a cell says as a number, infinities and NaN included; None where it says something else."""
    try:
        return None if "_" in cell else float(cell)  # 1_000 is a number in Python alone
    except ValueError:
        return None
