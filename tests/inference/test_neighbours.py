"""Which embedded proteins are alike."""

import io
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from biofm.core.errors import InputError
from biofm.inference.neighbours import find_neighbours, read_h5ad

IDS = ["a", "b", "c", "d", "e"]


def test_similarity_is_the_cosine_around_the_mean() -> None:
    values = np.random.default_rng(20).standard_normal((5, 8), dtype=np.float32) + 10

    found = find_neighbours(IDS, values, "in.h5ad")

    for i in range(5):
        for j in range(5):
            x, y = values[i] - values.mean(0), values[j] - values.mean(0)
            cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            assert found.similarity[i, j] == pytest.approx(cosine, abs=1e-4)


def test_the_nearest_come_first_and_a_protein_is_not_its_own_neighbour() -> None:
    values = np.array([[1, 0], [0.9, 0.1], [-1, 0.2], [0, -1], [-1, 0.3]], np.float32)
    found = find_neighbours(IDS, values, "in.h5ad")

    nearest = found.nearest(0, 10)

    assert nearest[0][0] == "b"
    assert "a" not in [id_ for id_, _ in nearest]
    assert len(nearest) == 4
    cosines = [cosine for _, cosine in nearest]
    assert cosines == sorted(cosines, reverse=True)
    assert found.nearest(0, 1) == nearest[:1]


def test_equal_rows_have_no_direction_from_their_mean_and_cosine_zero() -> None:
    assert (find_neighbours(IDS[:3], np.ones((3, 4), np.float32), "in.h5ad").similarity == 0).all()


def test_fewer_than_three_rows_are_an_error() -> None:
    with pytest.raises(InputError) as fault:
        find_neighbours(["a", "b"], np.ones((2, 4), np.float32), "in.h5ad")
    assert str(fault.value) == ("in.h5ad: 2 rows cannot be compared around their mean. Give at least three")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_an_error_that_names_the_row(bad: float) -> None:
    values = np.ones((5, 4), np.float32)
    values[2, 1] = bad
    with pytest.raises(InputError, match=r"^in.h5ad: row 3 \(c\) holds inf or nan\. Embed again with"):
        find_neighbours(IDS, values, "in.h5ad")


def written(path: Path, data: anndata.AnnData) -> bytes:
    data.write_h5ad(path)
    return path.read_bytes()


def test_an_h5ad_with_rows_of_numbers_is_read(tmp_path: Path) -> None:
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    data = anndata.AnnData(values, obs=pd.DataFrame(index=IDS))

    ids, read = read_h5ad(io.BytesIO(written(tmp_path / "in.h5ad", data)), "in.h5ad")

    assert ids == IDS
    np.testing.assert_array_equal(read, values)


def test_any_other_file_is_an_error_that_says_how_to_make_the_right_one(tmp_path: Path) -> None:
    frame = pd.DataFrame(index=pd.Index(IDS, name="gene"))
    foreign = {
        "text": b"MKT\n",
        "nothing": b"",
        "sparse": written(tmp_path / "1", anndata.AnnData(sparse.csr_matrix(np.eye(5, dtype=np.float32)))),
        "other index": written(tmp_path / "2", anndata.AnnData(np.eye(5, dtype=np.float32), obs=frame)),
    }
    foreign["truncated"] = foreign["sparse"][:2000]
    for name, content in foreign.items():
        with pytest.raises(InputError) as fault:
            read_h5ad(io.BytesIO(content), "in.h5ad")
        message = str(fault.value)
        assert message.startswith("in.h5ad: not an .h5ad of embeddings ("), name
        assert message.endswith("). Make one with `biofm embed`"), name


def test_a_row_a_residue_is_an_error_that_names_the_pooling(tmp_path: Path) -> None:
    data = anndata.AnnData(np.ones((5, 2), np.float32), obs=pd.DataFrame({"residue": range(5)}, index=IDS))
    with pytest.raises(InputError) as fault:
        read_h5ad(io.BytesIO(written(tmp_path / "in.h5ad", data)), "in.h5ad")
    assert str(fault.value) == (
        "in.h5ad: this file has a row a residue, not one a protein. Embed with --pool mean"
    )
