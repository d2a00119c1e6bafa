"""Each format is read back with the library that its users have."""

import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import safetensors
import safetensors.numpy

from biofm.core.outputs import EmbeddingBlock, ProvenanceFields, provenance_path

WriteOutput = Callable[..., Path]
Blocks = list[EmbeddingBlock]

IDS = ["P69905", "sp|P01308|INS_HUMAN", "P69905", 'a,"b"', "β-globin", "P69905"]
N_RESIDUES = [3, 1, 3, 2, 5, 4]
PROTEINS = [id_ for id_, length in zip(IDS, N_RESIDUES, strict=True) for _ in range(length)]
RECORDS = np.repeat([1, 2, 4, 5, 6, 9], N_RESIDUES).tolist()
RESIDUES = [number for length in N_RESIDUES for number in range(1, length + 1)]
NAMES = [f"e{dimension}" for dimension in range(7)]


def stacked(blocks: Blocks) -> np.ndarray:
    return np.concatenate([block.values for block in blocks])


def read_h5ad(path: Path, **options: str) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Observation names are not unique")
        warnings.filterwarnings("ignore", "The 'future.infer_string' option")  # anndata 0.13.4 asks for it.
        return anndata.read_h5ad(path, **options)


def test_h5ad_is_read_by_anndata(
    write_output: WriteOutput, protein_blocks: Blocks, provenance: ProvenanceFields
) -> None:
    data = read_h5ad(write_output(".h5ad", protein_blocks))

    np.testing.assert_array_equal(data.X, stacked(protein_blocks))
    assert data.X.dtype == np.float32
    assert list(data.obs_names) == IDS
    assert list(data.var_names) == NAMES
    assert data.obs["n_residues"].tolist() == N_RESIDUES
    assert data.uns["biofm"] == provenance


def test_h5ad_is_read_by_anndata_in_backed_mode(write_output: WriteOutput, protein_blocks: Blocks) -> None:
    data = read_h5ad(write_output(".h5ad", protein_blocks), backed="r")

    np.testing.assert_array_equal(data.X[2:5], stacked(protein_blocks)[2:5])
    assert list(data.obs_names) == IDS
    data.file.close()


def test_h5ad_can_be_written_again_by_anndata(
    write_output: WriteOutput, protein_blocks: Blocks, tmp_path: Path
) -> None:
    data = read_h5ad(write_output(".h5ad", protein_blocks))

    data.write_h5ad(tmp_path / "again.h5ad")

    np.testing.assert_array_equal(read_h5ad(tmp_path / "again.h5ad").X, stacked(protein_blocks))


def test_h5ad_of_residues_is_indexed_by_protein_and_residue(
    write_output: WriteOutput, residue_blocks: Blocks
) -> None:
    data = read_h5ad(write_output(".h5ad", residue_blocks, per_residue=True))

    np.testing.assert_array_equal(data.X, stacked(residue_blocks))
    assert data.obs["protein"].tolist() == PROTEINS
    assert data.obs["record"].tolist() == RECORDS
    assert data.obs["residue"].tolist() == RESIDUES
    assert list(data.obs_names[:4]) == ["P69905:1", "P69905:2", "P69905:3", "sp|P01308|INS_HUMAN:1"]


def test_parquet_is_read_by_pyarrow(
    write_output: WriteOutput, protein_blocks: Blocks, provenance: ProvenanceFields
) -> None:
    table = pq.read_table(write_output(".parquet", protein_blocks))

    assert table["id"].to_pylist() == IDS
    assert table["n_residues"].to_pylist() == N_RESIDUES
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[7]"
    values = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, 7)
    np.testing.assert_array_equal(values, stacked(protein_blocks))
    assert json.loads(table.schema.metadata[b"biofm"]) == provenance


def test_parquet_is_read_by_pandas(write_output: WriteOutput, protein_blocks: Blocks) -> None:
    table = pd.read_parquet(write_output(".parquet", protein_blocks))

    np.testing.assert_array_equal(np.stack(table["embedding"].tolist()), stacked(protein_blocks))


def test_parquet_of_residues_names_protein_and_residue(
    write_output: WriteOutput, residue_blocks: Blocks
) -> None:
    table = pd.read_parquet(write_output(".parquet", residue_blocks, per_residue=True))

    assert list(table.columns) == ["id", "record", "residue", "embedding"]
    assert table["record"].tolist() == RECORDS
    assert table["id"].tolist() == PROTEINS
    assert table["residue"].tolist() == RESIDUES
    np.testing.assert_array_equal(np.stack(table["embedding"].tolist()), stacked(residue_blocks))


def test_parquet_row_groups_are_neither_a_block_nor_the_file(write_output: WriteOutput) -> None:
    blocks = [
        EmbeddingBlock(["P"] * 100, [1] * 100, [1] * 100, np.ones((100, 2048), np.float32))
        for _ in range(100)
    ]

    file = pq.ParquetFile(write_output(".parquet", blocks)).metadata

    sizes = [file.row_group(number).num_rows for number in range(file.num_row_groups)]
    assert sizes == [4100, 4100, 1800]


def test_npz_is_read_by_numpy_without_pickle(
    write_output: WriteOutput, protein_blocks: Blocks, provenance: ProvenanceFields
) -> None:
    with np.load(write_output(".npz", protein_blocks), allow_pickle=False) as file:
        np.testing.assert_array_equal(file["embeddings"], stacked(protein_blocks))
        assert file["embeddings"].dtype == np.float32
        assert file["ids"].tolist() == IDS
        assert file["n_residues"].tolist() == N_RESIDUES
        assert json.loads(str(file["provenance"])) == provenance


def test_npz_of_residues_is_split_by_cumulative_sums(
    write_output: WriteOutput, residue_blocks: Blocks
) -> None:
    with np.load(write_output(".npz", residue_blocks, per_residue=True), allow_pickle=False) as file:
        proteins = np.split(file["embeddings"], np.cumsum(file["n_residues"])[:-1])
        assert file["ids"].tolist() == IDS

    assert [len(rows) for rows in proteins] == N_RESIDUES
    np.testing.assert_array_equal(np.concatenate(proteins), stacked(residue_blocks))


def test_npz_keeps_ids_in_order_when_they_do_not_fit_into_one_chunk(write_output: WriteOutput) -> None:
    ids = [f"protein-{number}-{'x' * (number % 40)}" for number in range(20_000)]
    block = EmbeddingBlock(ids, [1] * len(ids), [1] * len(ids), np.ones((len(ids), 1), np.float32))

    with np.load(write_output(".npz", [block, block]), allow_pickle=False) as file:
        assert file["ids"].tolist() == ids + ids


@pytest.mark.parametrize("per_residue", [False, True])
def test_safetensors_is_read_by_its_library(
    per_residue: bool,
    write_output: WriteOutput,
    protein_blocks: Blocks,
    residue_blocks: Blocks,
    provenance: ProvenanceFields,
) -> None:
    blocks = residue_blocks if per_residue else protein_blocks
    path = write_output(".safetensors", blocks, per_residue=per_residue)

    tensors = safetensors.numpy.load_file(path)

    np.testing.assert_array_equal(tensors["embeddings"], stacked(blocks))
    assert tensors["n_residues"].tolist() == N_RESIDUES
    text, offsets = tensors["ids_utf8"], tensors["ids_offsets"]
    assert offsets.dtype == np.int64
    bounds = pairwise(offsets)
    assert [bytes(text[start:end]).decode() for start, end in bounds] == IDS
    with safetensors.safe_open(path, framework="numpy") as file:
        assert {name: json.loads(text) for name, text in file.metadata().items() if name != "model"} == {
            name: value for name, value in provenance.items() if name != "model"
        }
        assert file.metadata()["model"] == "protein-nano"


def test_safetensors_begins_its_data_at_a_multiple_of_eight_bytes(
    write_output: WriteOutput, protein_blocks: Blocks
) -> None:
    content = write_output(".safetensors", protein_blocks).read_bytes()

    n_header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_header_bytes])
    assert n_header_bytes % 8 == 0
    assert content[8:9] == b"{"
    for name in ("ids_offsets", "n_residues"):
        assert header[name]["data_offsets"][0] % 8 == 0
    assert header["embeddings"]["data_offsets"][0] % 4 == 0


def test_csv_is_read_by_pandas_with_every_digit(write_output: WriteOutput, protein_blocks: Blocks) -> None:
    table = pd.read_csv(write_output(".csv", protein_blocks), dtype=dict.fromkeys(NAMES, np.float32))

    assert list(table.columns) == ["id", "n_residues", *NAMES]
    assert table["id"].tolist() == IDS
    assert table["n_residues"].tolist() == N_RESIDUES
    np.testing.assert_array_equal(table[NAMES].to_numpy(), stacked(protein_blocks))


def test_csv_keeps_extreme_numbers(write_output: WriteOutput) -> None:
    values = np.array([[1e-45, 3.4028235e38, -0.0, 0.1, 16777217, -1e-5]], np.float32)
    block = EmbeddingBlock(ids=["P"], records=[1], n_residues=[1], values=values)

    line = write_output(".csv", [block]).read_text().splitlines()[1]

    read = np.array(line.split(",")[2:], dtype=np.float32)
    assert read.tobytes() == values.tobytes()


def test_csv_of_residues_names_protein_and_residue(write_output: WriteOutput, residue_blocks: Blocks) -> None:
    table = pd.read_csv(write_output(".csv", residue_blocks, per_residue=True))

    assert list(table.columns) == ["id", "record", "residue", *NAMES]
    assert table["id"].tolist() == PROTEINS
    assert table["record"].tolist() == RECORDS
    assert table["residue"].tolist() == RESIDUES


def test_csv_begins_with_its_header_and_has_its_provenance_beside_it(
    write_output: WriteOutput, protein_blocks: Blocks, provenance: ProvenanceFields
) -> None:
    path = write_output(".csv", protein_blocks)

    beside = provenance_path(path)

    assert path.read_text().startswith('"id","n_residues","e0",')
    assert beside == path.with_name("out.csv.provenance.json")
    assert json.loads(beside.read_text()) == {"biofm": provenance}
