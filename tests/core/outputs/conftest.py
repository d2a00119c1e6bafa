"""The fixtures provide blocks of embeddings and a way to write them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from biofm.core.outputs import EmbeddingBlock, ProvenanceFields, open_writer, provenance_path

# Ids repeat within and across blocks, and hold a comma, quotes and letters beyond ASCII.
IDS = [["P69905", "sp|P01308|INS_HUMAN", "P69905"], ['a,"b"', "β-globin"], ["P69905"]]
RECORDS = [[1, 2, 4], [5, 6], [9]]
N_RESIDUES = [[3, 1, 3], [2, 5], [4]]
D_EMBEDDING = 7

WriteOutput = Callable[..., Path]


@pytest.fixture
def provenance() -> ProvenanceFields:
    return {"model": "protein-nano", "layer": 6, "share": 0.15, "whole": True}


def make_blocks(*, per_residue: bool) -> list[EmbeddingBlock]:
    generator = np.random.default_rng(20)
    blocks = []
    for ids, records, lengths in zip(IDS, RECORDS, N_RESIDUES, strict=True):
        n_rows = sum(lengths) if per_residue else len(ids)
        values = generator.standard_normal((n_rows, D_EMBEDDING), dtype=np.float32)
        blocks.append(EmbeddingBlock(ids=ids, records=records, n_residues=lengths, values=values))
    return blocks


@pytest.fixture
def protein_blocks() -> list[EmbeddingBlock]:
    """Return six proteins in three blocks, with one row each."""
    return make_blocks(per_residue=False)


@pytest.fixture
def residue_blocks() -> list[EmbeddingBlock]:
    """Return the same proteins with one row per residue: eighteen rows."""
    return make_blocks(per_residue=True)


@pytest.fixture
def write_output(tmp_path: Path, provenance: ProvenanceFields) -> WriteOutput:
    """Return a function that writes blocks to ``out`` with a suffix and returns the path."""

    def write(suffix: str, blocks: list[EmbeddingBlock], *, per_residue: bool = False) -> Path:
        path = tmp_path / f"out{suffix}"
        beside = provenance_path(path)
        with path.open("w+b") as handle, (beside or tmp_path / "unused").open("wb") as provenance_file:
            writer = open_writer(
                handle,
                suffix,
                per_residue=per_residue,
                scratch_folder=tmp_path,
                provenance_file=provenance_file if beside else None,
            )
            for block in blocks:
                writer.append(block)
            writer.close(provenance)
        return path

    return write
