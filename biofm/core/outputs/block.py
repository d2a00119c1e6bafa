"""Blocks of finished embeddings, in the input's order, as the writers of all formats take them."""

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
    """Return whether the files of some format have a column of this name themselves."""
    return name in OWN_NAMES or _OF_DIMENSION.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class EmbeddingBlock:
    """Embeddings of some proteins. A writer may keep a block: do not change it once a writer has it.

    ids: may repeat, in a block and across blocks.
    records: the number of each protein in the input, from 1; ascending, with gaps where records were skipped.
    n_residues: the length of each protein, without special tokens.
    values: float32 (rows, d); one row a protein, or all residues' rows of the first, then of the second... A
    row without values is NaN throughout.
    columns: what travels with the proteins, by name, one cell each; the same names and
    kinds in every block, and no name that a format uses itself. The first block says in which order they
    stand.
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
        """Assert that there is one row a residue, or one a protein."""
        n_rows = sum(self.n_residues) if per_residue else len(self.ids)
        assert len(self.values) == n_rows, (self.values.shape, n_rows, per_residue)

    @property
    def are_empty(self) -> NDArray[np.bool_]:
        """Return which rows have no values."""
        is_nan: NDArray[np.bool_] = np.isnan(self.values[:, 0])
        return is_nan

    def residues(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Return for every residue the id and the record of its protein, and its number there, from 1."""
        ids = [id_ for id_, length in zip(self.ids, self.n_residues, strict=True) for _ in range(length)]
        records = np.repeat(np.array(self.records, np.int64), self.n_residues)
        numbers = [np.arange(1, length + 1, dtype=np.int64) for length in self.n_residues]
        return ids, records, np.concatenate([np.empty(0, dtype=np.int64), *numbers])

    def cells(self, name: str, *, per_residue: bool) -> Cells:
        """Return a column with a cell for each row: with one row a residue, a protein's cell is repeated."""
        cells = self.columns[name]
        if not per_residue:
            return cells
        return [cell for cell, length in zip(cells, self.n_residues, strict=True) for _ in range(length)]


def kinds_of(columns: Mapping[str, Cells]) -> dict[str, type[Cell]]:
    """Return the type of each column's cells: str, int or float. The block has a protein at least."""
    return {name: type(cells[0]) for name, cells in columns.items()}


def is_empty(values: NDArray[np.floating]) -> bool:
    """Return whether the values of a protein are NaN. Either all of them are, or none."""
    return bool(np.isnan(values.ravel()[:1]).any())


def empty_fields(n_empty: int, reason: str | None) -> dict[str, str | int | None]:
    """Return the fields by which a provenance counts the empty rows of an output and gives their reason."""
    return {"empty_rows": n_empty, "empty_rows_reason": reason} if n_empty else {}


class BlockBuffer:
    """Gathers blocks until they hold ``limit_bytes`` of values, for formats that are read in large parts."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._blocks: list[EmbeddingBlock] = []

    def add(self, block: EmbeddingBlock) -> Iterator[EmbeddingBlock]:
        """Take a block. Yields the gathered blocks as one when they have reached the limit."""
        self._blocks.append(block)
        if sum(gathered.values.nbytes for gathered in self._blocks) >= self._limit_bytes:
            yield from self.flush()

    def flush(self) -> Iterator[EmbeddingBlock]:
        """Yield the gathered blocks as one, if there are any."""
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
