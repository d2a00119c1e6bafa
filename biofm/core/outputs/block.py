"""Blocks of finished embeddings: the writers of all formats accept them, in the input's order."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from biofm_datasets import Cell
from numpy.typing import NDArray

ProvenanceFields = Mapping[str, str | int | float | bool]
Cells = Sequence[Cell]
"""The cells of one column: all text, all whole numbers, or all floats."""

OWN_NAMES = frozenset(("_index", "id", "record", "residue", "n_residues", "protein", "embedding"))
_OF_DIMENSION = re.compile(r"e\d+")


def is_own_name(name: str) -> bool:
    """Return whether an output format has a column of this name itself.

    Args:
        name: The name of a column that travels with the records.
    """
    return name in OWN_NAMES or _OF_DIMENSION.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class EmbeddingBlock:
    """Holds the embeddings of some proteins. A writer may keep a block: do not change it after ``append``.

    Attributes:
        ids: The id of each protein. Ids may repeat, in a block and across blocks.
        records: The number of each protein in the input, from 1, ascending, with gaps for skipped records.
        n_residues: The length of each protein in residues, without special tokens.
        values: The embeddings, a row for each protein; or a row for each residue, protein after protein. A
            row without values is NaN throughout.
        columns: The columns that travel with the proteins, by name, with one cell for each protein. All
            blocks have the same names and types, the first block sets the order, and no name is one that a
            format uses itself (``is_own_name``).
    """

    ids: list[str]
    records: list[int]
    n_residues: list[int]
    values: NDArray[np.float32]
    columns: Mapping[str, Cells] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.records), len(self.n_residues), *map(len, self.columns.values())}
        assert len(lengths) == 1, lengths
        assert self.values.dtype == np.float32, self.values.dtype
        assert self.values.ndim == 2, self.values.shape

    def check_rows(self, per_residue: bool) -> None:
        """Assert that the values have one row per residue, or one row per protein.

        Args:
            per_residue: Whether there is one row per residue.
        """
        n_rows = sum(self.n_residues) if per_residue else len(self.ids)
        assert len(self.values) == n_rows, (self.values.shape, n_rows, per_residue)

    @property
    def are_empty(self) -> NDArray[np.bool_]:
        """Which rows have no values."""
        is_nan: NDArray[np.bool_] = np.isnan(self.values[:, 0])
        return is_nan

    def residues(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Return, for each residue, its protein's id and record number, and its place there, from 1."""
        ids = [id_ for id_, length in zip(self.ids, self.n_residues, strict=True) for _ in range(length)]
        records = np.repeat(np.array(self.records, np.int64), self.n_residues)
        numbers = [np.arange(1, length + 1, dtype=np.int64) for length in self.n_residues]
        return ids, records, np.concatenate([np.empty(0, dtype=np.int64), *numbers])

    def cells(self, name: str, *, per_residue: bool) -> Cells:
        """Return a column with a cell for each row.

        Args:
            name: The name of the column.
            per_residue: Whether there is one row per residue. A protein's cell is then repeated.
        """
        cells = self.columns[name]
        if not per_residue:
            return cells
        return [cell for cell, length in zip(cells, self.n_residues, strict=True) for _ in range(length)]


def kinds_of(columns: Mapping[str, Cells]) -> dict[str, type[Cell]]:
    """Return the type of each column's cells: str, int or float. The columns must have at least one cell."""
    return {name: type(cells[0]) for name, cells in columns.items()}


def is_empty(values: NDArray[np.floating]) -> bool:
    """Return whether the values of a protein are NaN.

    Args:
        values: Values that are either all NaN or all numbers.
    """
    return bool(np.isnan(values.ravel()[:1]).any())


def empty_fields(n_empty: int, reason: str | None) -> dict[str, str | int | None]:
    """Return the provenance fields that count the empty rows of an output and give the reason.

    Args:
        n_empty: How many rows have no values. With 0 there are no fields.
        reason: Why they have none.
    """
    return {"empty_rows": n_empty, "empty_rows_reason": reason} if n_empty else {}


class BlockBuffer:
    """Collects blocks until they hold ``limit_bytes`` of values, for formats that are read in large parts."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._blocks: list[EmbeddingBlock] = []

    def add(self, block: EmbeddingBlock) -> Iterator[EmbeddingBlock]:
        """Add a block, and yield the collected blocks as one when they have reached the limit."""
        self._blocks.append(block)
        if sum(gathered.values.nbytes for gathered in self._blocks) >= self._limit_bytes:
            yield from self.flush()

    def flush(self) -> Iterator[EmbeddingBlock]:
        """Yield the collected blocks as one, if there are any."""
        if self._blocks:
            blocks, self._blocks = self._blocks, []
            yield EmbeddingBlock(
                ids=[id_ for block in blocks for id_ in block.ids],
                records=[record for block in blocks for record in block.records],
                n_residues=[length for block in blocks for length in block.n_residues],
                values=np.concatenate([block.values for block in blocks]),
                columns={
                    name: [cell for block in blocks for cell in block.columns[name]]
                    for name in blocks[0].columns
                },
            )
