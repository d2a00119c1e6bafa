"""Which proteins are unlike those of training, beside scikit-learn and on data where that is known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from biofm.inference.prediction import Domain, Nearest, describe_training
from biofm.inference.prediction.domain import DISTANCE, LENGTH, DomainTally
from biofm.inference.prediction.trust import remark_domain
from biofm.modalities.protein import residues_of

Floats = NDArray[np.float64]


def test_distances_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    rows, new = (
        rng.normal(5, 2, (300, 12)).astype(np.float32),
        rng.normal(5, 3, (2100, 12)).astype(np.float32),
    )
    rows[:, 3] = new[:, 3] = 7  # says nothing
    varied = np.delete(np.arange(12), 3)
    scaler = StandardScaler().fit(rows[:, varied].astype(np.float64))
    nearest = NearestNeighbors(n_neighbors=1).fit(scaler.transform(rows[:, varied]) / np.sqrt(11))
    expected = nearest.kneighbors(scaler.transform(new[:, varied]) / np.sqrt(11))[0][:, 0]
    found = Nearest.of(rows)
    np.testing.assert_allclose(found.distances(new), expected, atol=1e-5)
    np.testing.assert_allclose(found.distances(rows), 0, atol=1e-5)
    assert len(found.distances(new[:0])) == 0


@pytest.mark.parametrize("n_calibrated", [30, 400])
def test_as_many_rows_like_training_are_flagged_as_is_said(n_calibrated: int) -> None:
    rng = np.random.default_rng(0)
    n_train, n_new, n_repeats = 200, 100, 100
    by_distance, by_length = [], []
    for _ in range(n_repeats):
        n = n_train + n_calibrated + n_new
        vectors, lengths = rng.standard_t(4, size=(n, 3)), rng.permutation(1000)[:n] + 1
        nearest = Nearest.of(vectors[:n_train])
        distances = nearest.distances(vectors[n_train:])
        texts = ["A" * length for length in lengths]
        domain = Domain(describe_training(texts[:n_train]), np.sort(distances[:n_calibrated]))
        tally = domain.tally(texts[-n_new:], distances[n_calibrated:])
        by_distance.append(tally.by_reason[DISTANCE])
        by_length.append(tally.by_reason[LENGTH])
    assert 3 < domain.usual(DISTANCE, 100)[0] <= 5, "few rows have no such quantile: the next one is safer"
    for reason, counts in ((DISTANCE, by_distance), (LENGTH, by_length)):
        mean, deviation = domain.usual(reason, n_new)
        assert np.mean(counts) == pytest.approx(mean, abs=4 * deviation / n_repeats**0.5)
        assert np.std(counts) == pytest.approx(deviation, rel=0.25)


def test_letters_and_lengths_are_those_of_training() -> None:
    domain = Domain(
        describe_training([*map(residues_of, ["MKT", "MKTAY", "M<mask>KX"])]), np.arange(1.0, 40.0)
    )
    assert (domain.training.shortest, domain.training.longest) == (3, 5)
    assert domain.training.letters == "<mask> A K M T X Y"
    given = ["MKTA", "MK", "MKU", "<mask><mask>K", "MMMMMU", "MKT"]
    found = domain.reasons([*map(residues_of, given)], np.array([38.0, 1, 1, 1, 38.5, 39]))
    assert found == [
        (), ("length",), ("letters",), (), ("length", "letters", "distance"), ("distance",)
    ]  # fmt: skip
    assert domain.limit == 38, "the 38th of 39: 95 % of 40"


def test_few_rows_give_no_limit_of_the_distance() -> None:
    domain = Domain(describe_training(["MKT"]), np.arange(18.0))
    assert not domain.has_distance
    assert domain.reasons(["MKT"], np.array([1e9])) == [()]
    assert domain.reasons(["MKT"], None) == [()]


@pytest.mark.parametrize(("n", "rows"), [(1, "1 row"), (2, "2 rows")])
def test_a_single_row_is_called_a_row(n: int, rows: str) -> None:
    domain, tally = Domain(describe_training(["MKT"]), np.arange(18.0)), DomainTally()
    tally.add([(LENGTH,)] * n)
    assert remark_domain(domain, tally)[0].text.startswith(f"out of the domain of training: {n} of {rows} (")


def test_a_distance_that_is_not_judged_is_not_counted_as_0() -> None:
    rows = describe_training(["MKT"])
    few, enough = Domain(rows, np.arange(18.0)), Domain(rows, np.arange(40.0))
    tally = DomainTally()
    tally.add([(LENGTH,)])
    assert remark_domain(few, tally)[0].text.endswith("(length 1, letters 0)")
    assert "is not judged" in remark_domain(few, tally)[1].text
    assert remark_domain(enough, tally)[0].text.endswith("(length 1, letters 0, distance 0)")
