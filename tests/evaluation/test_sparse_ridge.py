"""The ridge on sparse counts, against its closed form, and on the official splits of GB1."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from biofm.evaluation import deal_folds
from biofm.evaluation import features as features_module
from biofm.evaluation.features import count_features, kmers, one_hot
from biofm.evaluation.linear_models import predict_by_sparse_ridge, predict_out_of_fold
from biofm.modalities.protein import N_CODES, codes_of
from tests.evaluation.conftest import GB1, open_gb1

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def library(n_rows: int, *, lengths: tuple[int, ...] = (12,)) -> tuple[list[str], NDArray[np.float64]]:
    """Variants of one protein, and measurements that depend on their residues."""
    generator = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    usual = generator.choice(letters, max(lengths))
    sequences = []
    for row in range(n_rows):
        residues = usual[: lengths[row % len(lengths)]].copy()
        places = generator.integers(len(residues), size=2)
        residues[places] = generator.choice(letters, 2)
        sequences.append("".join(residues))
    measured = np.array([sum(map(ord, sequence[:6])) / 10 for sequence in sequences])
    return sequences, measured + generator.normal(size=n_rows)


def closed_form(
    sequences: list[str], measured: NDArray[np.float64], is_train: NDArray[np.bool_], *, length: int
) -> NDArray[np.float64]:
    """Dense, from every run of ``length`` residues: at its site (length 1), or wherever it stands."""
    found = [
        [
            (i, sequence[i]) if length == 1 else sequence[i : i + length]
            for i in range(len(sequence) - length + 1)
        ]
        for sequence in sequences
    ]
    columns = sorted({feature for row in found for feature in row})
    x = np.array([[row.count(feature) for feature in columns] for row in found], float)
    mean, offset = x[is_train].mean(0), measured[is_train].mean()
    centred = x[is_train] - mean
    gram = centred.T @ centred + np.eye(len(columns))
    weights = np.linalg.solve(gram, centred.T @ (measured[is_train] - offset))
    return (x[~is_train] - mean) @ weights


def features_of(
    sequences: Sequence[str], find: Callable[[NDArray[np.int64], int], NDArray[np.int64]] = one_hot
) -> "csr_matrix":
    return count_features([*map(codes_of, sequences)], find, N_CODES)


@pytest.mark.parametrize("n_rows", [30, 300])  # fewer rows than features, and more
@pytest.mark.parametrize(("codes", "length", "lengths"), [(one_hot, 1, (12,)), (kmers, 3, (12, 15, 9))])
def test_predictions_are_those_of_the_closed_form(
    n_rows: int,
    codes: Callable[[NDArray[np.int64], int], NDArray[np.int64]],
    length: int,
    lengths: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features_module, "ROWS_AT_ONCE", 37)  # so that features come in several blocks
    sequences, measured = library(n_rows, lengths=lengths)
    is_train = np.arange(n_rows) % 4 != 0
    features = features_of(sequences, codes)
    found = predict_by_sparse_ridge(features[is_train], measured[is_train], features[~is_train])
    expected = closed_form(sequences, measured, is_train, length=length)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_features_of_a_large_alphabet_are_those_of_a_small_one(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences, _ = library(40, lengths=(12, 15))
    expected = features_of(sequences, kmers).toarray()
    monkeypatch.setattr(features_module, "WIDEST", 100)
    np.testing.assert_array_equal(features_of(sequences, kmers).toarray(), expected)


def test_variants_of_a_protein_leave_few_features_a_row() -> None:
    sequences, _ = library(300)
    assert features_of(sequences).nnz <= 4 * 300


def test_a_row_is_predicted_without_its_own_measurement_or_that_of_its_twin() -> None:
    sequences, measured = library(60)
    sequences += sequences[:20]
    measured = np.concatenate([measured, measured[:20]])
    features, folds = features_of(sequences), deal_folds(sequences, seed=0)
    before = predict_out_of_fold(features, measured, folds)
    changed = measured.copy()
    changed[[3, 63]] += 100
    after = predict_out_of_fold(features, changed, folds)
    assert after[3] == pytest.approx(before[3], abs=1e-6)
    assert after[63] == pytest.approx(before[63], abs=1e-6)
    assert np.abs(after - before).max() > 0.1


def test_folds_are_even_and_follow_from_the_seed() -> None:
    sequences = [f"A{i}" for i in range(103)]
    folds = deal_folds(sequences, seed=7)
    assert sorted(np.bincount(folds).tolist()) == [20, 20, 21, 21, 21]
    np.testing.assert_array_equal(folds, deal_folds(sequences, seed=7))
    assert not np.array_equal(folds, deal_folds(sequences, seed=8))


def test_rows_that_the_model_cannot_tell_apart_tie() -> None:
    """Residues that training never saw have no weight, whatever they are."""
    train, test = ["AAAA", "CAAA", "ACAA", "AACA"], ["AAAW", "AAAY", "CAAW", "CAAY", "AAAH"]
    features = features_of([*train, *test])
    predicted = predict_by_sparse_ridge(features[:4], np.array([1.0, 2.0, 0.3, 0.7]), features[4:])
    assert len(set(predicted)) == 2


def test_folds_are_not_ranked_by_the_means_of_what_was_fitted() -> None:
    """Each variant changes a site of its own, so nothing is known of it, and no rank may follow."""
    sequences = ["A" * i + "W" + "A" * (39 - i) for i in range(40)]
    measured = np.random.default_rng(0).normal(size=40)
    features, folds = features_of(sequences), deal_folds(sequences, seed=0)
    assert len(set(predict_out_of_fold(features, measured, folds).tolist())) == 1


def test_equal_measurements_are_predicted_as_they_are() -> None:
    sequences, _ = library(20)
    features = features_of(sequences)
    np.testing.assert_array_equal(predict_by_sparse_ridge(features, np.full(20, 3.5), features), 0)


@pytest.mark.parametrize("split", GB1)
def test_one_hot_ridge_gives_the_known_numbers_on_gb1(split: str, real_data: Path) -> None:
    table = pd.read_csv(open_gb1(real_data, split))
    is_train, measured = (table.set == "train").to_numpy(), table.target.to_numpy()
    features = features_of(list(table.sequence))
    predicted = predict_by_sparse_ridge(features[is_train], measured[is_train], features[~is_train])
    spearman = stats.spearmanr(measured[~is_train], predicted).statistic
    assert round(float(spearman), 3) == GB1[split]
