"""Which embedded proteins are alike."""

import io
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from biofm.core import InputError
from biofm.core.h5ad import Embeddings, open_embeddings
from biofm.inference import NO_DIRECTION, find_neighbours, similarity_of
from biofm.inference.neighbours import BLOCK_ROWS

Values = NDArray[np.float32]


@contextmanager
def written(values: Values) -> Iterator[Embeddings]:
    """The rows in an ``.h5ad`` of anndata's, with the ids r0, r1..., opened."""
    stream = io.BytesIO()
    obs = pd.DataFrame(index=[f"r{row}" for row in range(len(values))])
    with h5py.File(stream, "w") as file:
        anndata.io.write_elem(file, "/", anndata.AnnData(values, obs=obs))
    stream.seek(0)
    with open_embeddings(stream, "in.h5ad") as read:
        yield read


def cosines(values: Values) -> NDArray[np.float64]:
    """Of every pair, in float64, to the precision in which ties are ties."""
    centred = values.astype(np.float64) - values.mean(0, dtype=np.float64)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return (unit @ unit.T).round(9)


@pytest.mark.parametrize(("n_rows", "top"), [(5, 4), (BLOCK_ROWS + 1, 1), (2100, 20)])
@pytest.mark.parametrize("n_different", [None, 7])
def test_the_nearest_are_those_of_all_pairs_and_ties_go_by_the_order_of_the_file(
    n_rows: int, top: int, n_different: int | None
) -> None:
    values = np.random.default_rng(20).standard_normal((n_different or n_rows, 33), dtype=np.float32) + 10
    if n_different:  # hundreds of equal rows, on both sides of the ends of blocks
        values = values[np.random.default_rng(21).integers(0, n_different, n_rows)]
    expected = cosines(values)
    np.fill_diagonal(expected, -np.inf)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :top]

    with written(values) as read:
        found = find_neighbours(read, top)

    if n_different:
        np.testing.assert_array_equal(found.nearest, order)
    for cosine in (found.cosine, np.take_along_axis(expected, found.nearest, 1)):
        np.testing.assert_allclose(cosine, np.take_along_axis(expected, order, 1), atol=2e-6)
    assert found.of(0)[0] == (f"r{found.nearest[0, 0]}", found.cosine[0, 0])


@pytest.mark.parametrize("n_dimensions", [3, 100, 4000])
def test_a_cosine_is_right_to_a_millionth_and_at_most_1_though_all_entries_round_alike(
    n_dimensions: int,
) -> None:
    row = np.where(np.arange(n_dimensions) % 3, 1, -1).astype(np.float32)
    with written(np.stack([row, -row, row, -row])) as read:
        found, square = find_neighbours(read, 3), similarity_of(read, np.arange(4))
    np.testing.assert_allclose(found.cosine, [[1, -1, -1]] * 4, atol=1e-6)
    assert max(np.abs(found.cosine).max(), np.abs(square).max()) <= 1


def test_more_neighbours_than_there_are_others_are_all_of_them() -> None:
    with written(np.eye(4, dtype=np.float32)) as read:
        assert find_neighbours(read, 100).nearest.shape == (4, 3)


def test_the_pairs_of_some_rows_are_compared_around_the_mean_of_all() -> None:
    values = np.random.default_rng(20).standard_normal((9, 8), dtype=np.float32) + 10
    with written(values) as read:
        found = similarity_of(read, np.array([0, 4, 8]))
    np.testing.assert_allclose(found, cosines(values)[::4, ::4], atol=2e-6)


@pytest.mark.parametrize("common", [0.0, 1.0, 0.1, 1e30])
def test_rows_equal_to_the_mean_have_no_direction_cosine_zero_and_are_counted(common: float) -> None:
    with written(np.full((5, 4), common, np.float32)) as read:
        found = find_neighbours(read)
    assert (found.cosine == 0).all()
    assert found.notices == {NO_DIRECTION.format(items="proteins"): 5}


def test_fewer_than_three_rows_are_an_error() -> None:
    with written(np.ones((2, 4), np.float32)) as read, pytest.raises(InputError) as fault:
        find_neighbours(read)
    assert str(fault.value) == (
        "in.h5ad: 2 rows; a comparison around the mean of all rows needs three. "
        "Give embeddings of at least three sequences"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_an_error_that_names_the_row(bad: float) -> None:
    values = np.ones((5, 4), np.float32)
    values[2, 1] = bad
    message = r"^in.h5ad: row 3 \(r2\) holds inf or nan\. Embed again with"
    with written(values) as read, pytest.raises(InputError, match=message):
        find_neighbours(read)


def test_memory_is_that_of_blocks_however_many_rows_there_are() -> None:
    def peak(n_rows: int) -> int:
        values = np.random.default_rng(20).standard_normal((n_rows, 64), dtype=np.float32)
        with written(values) as read:
            del values
            tracemalloc.start()
            find_neighbours(read, 5)
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    few, many = peak(2 * BLOCK_ROWS), peak(4 * BLOCK_ROWS)
    assert many < 1.1 * few
    assert many < (4 * BLOCK_ROWS) ** 2  # all products in float32 would take four times that


def test_the_share_that_is_done_grows_to_all_of_it() -> None:
    heard: list[float] = []
    with written(
        np.random.default_rng(20).standard_normal((4 * BLOCK_ROWS - 9, 2), dtype=np.float32)
    ) as read:
        find_neighbours(read, 1, heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1


def test_a_fault_while_rows_are_read_again_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("a disk that fails")

    with written(np.eye(4, dtype=np.float32)) as read:
        monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
        with pytest.raises(
            InputError, match=r"^in\.h5ad: this is not an \.h5ad file of embeddings \(a disk that fails\)"
        ):
            find_neighbours(read)
