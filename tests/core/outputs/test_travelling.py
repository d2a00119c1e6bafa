"""Columns of each type travel with the records, and the usual reader of each format reads them back."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from biofm.core.outputs import EmbeddingBlock

WriteOutput = Callable[..., Path]

N_RESIDUES = [[3, 1], [2]]
COLUMNS: dict[str, list[list[Any]]] = {
    "place": [["chr1, left", ""], ['"β"']],
    "start": [[1, -(1 << 63)], [(1 << 63) - 1]],
    "a share.of it": [[0.1, float("nan")], [1e-300]],
}
TYPES = {"place": "string", "start": "int64", "a share.of it": "double"}

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


def blocks(*, per_residue: bool) -> list[EmbeddingBlock]:
    """Return two blocks of three proteins; the second names its columns in another order."""
    made = []
    for number, lengths in enumerate(N_RESIDUES):
        n_rows = sum(lengths) if per_residue else len(lengths)
        names = list(COLUMNS) if number == 0 else list(reversed(COLUMNS))
        columns = {name: COLUMNS[name][number] for name in names}
        records = [3 * number + 1 + i for i in range(len(lengths))]
        values = np.ones((n_rows, 2), np.float32)
        made.append(EmbeddingBlock(["P"] * len(lengths), records, lengths, values, columns))
    return made


def expected(name: str, *, per_residue: bool) -> list[Any]:
    cells = [cell for block in COLUMNS[name] for cell in block]
    lengths = [length for block in N_RESIDUES for length in block]
    return (
        [cell for cell, length in zip(cells, lengths, strict=True) for _ in range(length)]
        if (per_residue)
        else cells
    )


def check(found: Any, name: str, *, per_residue: bool) -> None:
    cells = expected(name, per_residue=per_residue)
    if name == "a share.of it":
        np.testing.assert_array_equal(np.asarray(found, np.float64), cells)
    else:
        assert list(found) == cells


@pytest.mark.parametrize("per_residue", [False, True])
def test_parquet_and_csv_have_them_behind_our_own(per_residue: bool, write_output: WriteOutput) -> None:
    ours = ["id", "record", "residue"] if per_residue else ["id", "n_residues"]
    for suffix, last in ((".parquet", ["embedding"]), (".csv", ["e0", "e1"])):
        path = write_output(suffix, blocks(per_residue=per_residue), per_residue=per_residue)
        table = pq.read_table(path) if suffix == ".parquet" else read_csv(path)
        assert table.column_names == [*ours, *COLUMNS, *last]
        for name, type_ in TYPES.items():
            assert str(table.schema.field(name).type) == type_
            check(table[name].to_pylist(), name, per_residue=per_residue)


def read_csv(path: Path) -> Any:
    options = pyarrow.csv.ConvertOptions(null_values=[])
    return pyarrow.csv.read_csv(path, convert_options=options)


@pytest.mark.parametrize("per_residue", [False, True])
def test_h5ad_has_them_in_obs(per_residue: bool, write_output: WriteOutput) -> None:
    path = write_output(".h5ad", blocks(per_residue=per_residue), per_residue=per_residue)
    obs = anndata.read_h5ad(path).obs
    ours = ["protein", "record", "residue"] if per_residue else ["n_residues"]
    assert list(obs.columns) == [*ours, *COLUMNS]
    assert (obs["start"].dtype, obs["a share.of it"].dtype) == (np.int64, np.float64)
    for name in COLUMNS:
        check(obs[name], name, per_residue=per_residue)


@pytest.mark.parametrize("per_residue", [False, True])
def test_npz_has_an_array_of_each(per_residue: bool, write_output: WriteOutput) -> None:
    with np.load(write_output(".npz", blocks(per_residue=per_residue), per_residue=per_residue)) as arrays:
        assert set(arrays) == {
            "embeddings", "ids", "n_residues", "provenance", *(f"column.{name}" for name in COLUMNS)
        }  # fmt: skip
        assert [arrays[f"column.{name}"].dtype.kind for name in COLUMNS] == ["U", "i", "f"]
        for name in COLUMNS:
            check(arrays[f"column.{name}"].tolist(), name, per_residue=False)


@pytest.mark.parametrize("per_residue", [False, True])
def test_safetensors_has_tensors_of_each(per_residue: bool, write_output: WriteOutput) -> None:
    path = write_output(".safetensors", blocks(per_residue=per_residue), per_residue=per_residue)
    arrays = safetensors.numpy.load_file(path)
    utf8, offsets = arrays["column.place/utf8"], arrays["column.place/offsets"]
    texts = [bytes(utf8[start:end]).decode() for start, end in pairwise(offsets)]
    check(texts, "place", per_residue=False)
    check(arrays["column.start"].tolist(), "start", per_residue=False)
    check(arrays["column.a share.of it"].tolist(), "a share.of it", per_residue=False)
    with safetensors.safe_open(path, "np") as opened:
        kinds = json.loads(opened.metadata()["columns"])
    assert kinds == {"place": "text", "start": "I64", "a share.of it": "F64"}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_many_columns_take_few_open_files(suffix: str, write_output: WriteOutput) -> None:
    columns = {f"c{i}": ["x"] for i in range(3000)}
    block = EmbeddingBlock(["P"], [1], [1], np.ones((1, 1), np.float32), columns)
    write_output(suffix, [block])
