"""Embeddings are read from the files that anndata and other programs write in ordinary use."""

import io
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from biofm.core import InputError
from biofm.core.h5ad import open_embeddings

IDS = ["a", "b", "c", "d", "e"]
VALUES = np.random.default_rng(20).standard_normal((5, 8), dtype=np.float32)

Write = Callable[..., Path]


def read(path: Path) -> tuple[list[str], np.ndarray]:
    """Read all ids and rows of a file, some rows at a time."""
    with path.open("rb") as stream, open_embeddings(stream, str(path)) as found:
        n_rows = len(found.ids)
        return found.ids, np.concatenate([found.rows(i, min(n_rows, i + 2)) for i in range(0, n_rows, 2)])


def assert_read(path: Path, ids: list[str] = IDS, values: np.ndarray = VALUES) -> None:
    found, rows = read(path)
    assert found == ids
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, values)


def test_an_h5ad_with_rows_of_numbers_is_read(write: Write) -> None:
    assert_read(write())


def test_an_index_with_a_name_is_found(write: Write) -> None:
    assert_read(write(index=pd.Index(IDS, name="gene")))


@pytest.mark.parametrize("dtype", ["string[python]", "string[pyarrow]"])
def test_nullable_and_arrow_strings_are_ids(dtype: str, write: Write) -> None:
    with anndata.settings.override(allow_write_nullable_strings=True):
        path = write(index=pd.Index(IDS, dtype=dtype))
    with h5py.File(path) as file:
        assert file["obs/_index"].attrs["encoding-type"] == "nullable-string-array"
    assert_read(path)


def test_categorical_and_repeating_ids_are_read(write: Write) -> None:
    assert_read(write(index=pd.CategoricalIndex(["a", "b", "a", "b", "é"])), ["a", "b", "a", "b", "é"])


@pytest.mark.parametrize("dtype", ["f8", "f2", "i4", "u1", "?", ">f4"])
def test_numbers_of_any_type_become_float32(dtype: str, write: Write) -> None:
    values = (100 * np.abs(VALUES)).astype(dtype)
    assert_read(write(values), values=values.astype(np.float32))


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_compressed_files_are_read(compression: str, write: Write) -> None:
    assert_read(write(compression=compression))


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_are_read_a_few_at_a_time(kind: Callable[..., object], write: Write) -> None:
    values = np.where(VALUES > 0.5, VALUES, 0)
    values[2] = 0
    assert_read(write(kind(values)), values=values)


def test_sparse_columns_are_an_error_that_says_how_to_write_rows(write: Write) -> None:
    path = write(sparse.csc_matrix(VALUES))
    with pytest.raises(InputError, match=r"by columns\. Store it by rows: adata\.X = adata\.X\.tocsr"):
        read(path)


def test_joined_cut_and_annotated_data_are_read(tmp_path: Path) -> None:
    data = anndata.AnnData(VALUES, obs=pd.DataFrame({"n": pd.array([1, None] * 2 + [3])}, index=IDS))
    data.uns["of everything"] = {"none": None, "text": "t", "table": pd.DataFrame({"a": [1]})}
    data.layers["counts"], data.obsm["umap"] = sparse.csr_matrix(VALUES), VALUES[:, :2]
    data.raw = data
    joined = anndata.concat([data, data[1:3].copy()], label="batch", merge="same")
    joined.write_h5ad(tmp_path / "in.h5ad")
    assert_read(tmp_path / "in.h5ad", [*IDS, "b", "c"], np.concatenate([VALUES, VALUES[1:3]]))

    del joined.raw
    joined.write_h5ad(tmp_path / "in.h5ad")
    backed = anndata.read_h5ad(tmp_path / "in.h5ad", backed="r+")
    backed.obs["later"] = 1
    backed.write()
    backed.file.close()
    assert_read(tmp_path / "in.h5ad", [*IDS, "b", "c"], np.concatenate([VALUES, VALUES[1:3]]))


def test_attributes_may_be_bytes_as_other_languages_write_them(write: Write) -> None:
    path = write()
    with h5py.File(path, "r+") as file:
        for element in (file["obs"], file["obs/_index"]):
            for name in ("encoding-type", "encoding-version", "_index"):
                if name in element.attrs:
                    element.attrs[name] = np.bytes_(element.attrs[name])
    assert_read(path)


def test_real_files_of_single_cells_are_read(real_data: Path) -> None:
    for name, n_rows in (("scvi_jl/pbmc.h5ad", 7480), ("pbmc68k_reduced.h5ad", 700)):
        ids, values = read(real_data / "singlecell" / name)
        assert (len(ids), len(values)) == (n_rows, n_rows)
        expected = anndata.read_h5ad(real_data / "singlecell" / name)
        assert ids == expected.obs_names.tolist()
        np.testing.assert_array_equal(values, expected.X)


def test_only_an_open_file_is_needed(write: Write) -> None:
    stream = io.BytesIO(write().read_bytes())
    with open_embeddings(stream, "in memory") as found:
        assert found.ids == IDS
        assert found.n_dimensions == 8
