"""Made-up proteins with the composition of real ones, relatives of them, and Biopython to align them; and
tables as the bytes of Parquet files.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from Bio.Align import PairwiseAligner, substitution_matrices
from pyarrow import parquet

# Swiss-Prot's composition in percent, release 2024_01 (rounded).
COMPOSITION = {
    "A": 8.3, "C": 1.4, "D": 5.5, "E": 6.7, "F": 3.9, "G": 7.1, "H": 2.3, "I": 5.9, "K": 5.8, "L": 9.6,
    "M": 2.4, "N": 4.1, "P": 4.7, "Q": 3.9, "R": 5.5, "S": 6.6, "T": 5.4, "V": 6.9, "W": 1.1, "Y": 2.9,
}  # fmt: skip


def parquet_bytes(table: "pa.Table | Mapping[str, object]", **options: Any) -> bytes:
    """A Parquet file of this table; ``options`` are those of ``pyarrow.parquet.write_table``."""
    sink = io.BytesIO()
    parquet.write_table(table if isinstance(table, pa.Table) else pa.table(table), sink, **options)
    return sink.getvalue()


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def random_protein(generator: np.random.Generator) -> Callable[[int], str]:
    """Return a protein of this many residues that resembles no other."""
    letters, shares = np.array(list(COMPOSITION)), np.array(list(COMPOSITION.values()))

    def draw(n_residues: int) -> str:
        return "".join(generator.choice(letters, n_residues, p=shares / shares.sum()))

    return draw


@pytest.fixture
def mutate(
    generator: np.random.Generator, random_protein: Callable[[int], str]
) -> Callable[[str, float], str]:
    """Return the protein with this many of its residues kept and the others drawn anew, without gaps."""

    def relative(sequence: str, identity: float) -> str:
        kept = np.zeros(len(sequence), np.bool_)
        kept[generator.permutation(len(sequence))[: round(identity * len(sequence))]] = True
        others = random_protein(len(sequence))
        return "".join(old if keep else new for old, new, keep in zip(sequence, others, kept, strict=True))

    return relative


@pytest.fixture(scope="session")
def reference() -> PairwiseAligner:
    """Return Biopython's Smith-Waterman aligner with the scores that the split uses."""
    return PairwiseAligner(
        mode="local",
        substitution_matrix=substitution_matrices.load("BLOSUM62"),
        open_gap_score=-11,
        extend_gap_score=-1,
    )
