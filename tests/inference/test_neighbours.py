"""Which embedded proteins are alike."""

import numpy as np
import pytest

from biofm.core.errors import InputError
from biofm.inference.neighbours import find_neighbours

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
