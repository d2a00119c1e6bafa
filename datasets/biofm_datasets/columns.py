"""Reads chosen columns of a table into memory: numbers for arithmetic, texts for names.

This module needs numpy, so the package itself does not import it.
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

LARGEST = 1e100  # Sums of squares must stay finite; programs mark missing values by larger numbers.

ROWS_AT_ONCE = 4096

_REMEDY = "Correct the cell, or leave it empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Holds chosen columns of a table; all have one entry for each row that was kept.

    Attributes:
        name: The file's name, for messages.
        places: Where each row stands in the file, such as ``line 17``.
        numbers: The columns of numbers by name; NaN stands for an empty cell.
        texts: The columns of text by name.
    """

    name: str
    places: list[str]
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, list[str]]

    def where(self, row: int) -> str:
        """Return the place of a row for a message: ``assay.csv, line 17``."""
        return f"{self.name}, {self.places[row]}"


def stop_at(fault: DataError) -> None:
    """Raise the fault of a row: the default of ``read_columns``."""
    raise fault


def read_columns(
    stream: BinaryIO,
    name: str,
    *,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    at_fault: Callable[[DataError], None] = stop_at,
) -> Columns:
    """Read chosen columns of a CSV, TSV or Parquet file.

    Args:
        stream: The opened file.
        name: Its name, for its format and for messages.
        numbers: The columns of numbers. Empty cells, and the usual words for them (``MISSING``), become NaN.
        texts: The columns of text.
        at_fault: Called with the fault, its place and its column if a cell is not a finite number of a size
            up to ``LARGEST``. If it returns, the row is left out.

    Raises:
        DataError: The file as a whole is faulty, or a column is missing or occurs twice.
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


def read_names(stream: BinaryIO, name: str) -> tuple[str, ...]:
    """Return the names of a table's columns, and leave the stream where it stands."""
    at = stream.tell()
    names = next(read_table(stream, name, n_rows=1)).names
    stream.seek(at)
    return names


def find_numeric_columns(stream: BinaryIO, name: str) -> list[str]:
    """Return the columns in which every cell is a number or empty and at least one is a number."""
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
    """Return the number in a cell; NaN if the cell is empty.

    Args:
        cell: The text of the cell.
        where: The place of the cell, for messages.
        most: The largest size that is accepted.

    Raises:
        DataError: The cell is not a finite number of a size up to ``most``.
    """
    if cell.lower() in MISSING:
        return math.nan
    number = parse_number(cell)
    if number is None:
        raise DataError(f"{cell!r} is no number", where=where, remedy=how_to_mend(cell))
    if not math.isfinite(number):
        raise DataError(f"{cell!r} is not finite", where=where, remedy=_REMEDY)
    if abs(number) > most:
        what = f"{cell!r} is too large to compute with (the limit is {most:g})"
        raise DataError(what, where=where, remedy=_REMEDY)
    return number


def how_to_mend(cell: str) -> str:
    """Return the remedy for a cell that is not a number, for the ways in which instruments and people write
    them.
    """
    if cell[:1] in "<>≤≥~" and parse_number(cell.lstrip("<>=≤≥~ ")) is not None:
        return "This is a limit, not a measurement: leave the cell empty, or write the limit as a number"
    before, comma, behind = cell.partition(",")
    if comma and parse_number(f"{before}.{behind}") is not None:
        point = f"Write a decimal point: {before}.{behind}"
        whole = f"{before}{behind}, if the comma separates thousands"
        return f"{point}; or {whole}" if len(behind) == 3 else point
    return _REMEDY


def parse_number(cell: str) -> float | None:
    """Return the number that a cell spells, infinities and NaN included; None if it spells none."""
    try:
        return None if "_" in cell else float(cell)  # Only Python reads 1_000 as a number.
    except ValueError:
        return None
