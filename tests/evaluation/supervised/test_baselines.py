"""The baselines of every task: what they learn, what they never see, and how well they do on real data."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from biofm.evaluation import Missing
from biofm.evaluation.features import N_SITES, Windows, count_features, one_hot
from biofm.evaluation.supervised import (
    Fit,
    LabelOptions,
    Labels,
    Predictions,
    find_baselines,
    judge_predictions,
    offsets_of,
    read_labelled,
)
from biofm.modalities import PROTEIN
from biofm.modalities.protein import N_CODES, codes_of
from tests.evaluation.conftest import GB1, open_gb1

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def peptides(n: int, *, shortest: int = 12, longest: int = 12, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(LETTERS, rng.integers(shortest, longest + 1))) for _ in range(n)]


def numbers(sequences: list[str]) -> Labels:
    """How hydrophobic the first half is."""
    values = [sum(letter in "AILMFVW" for letter in sequence[:6]) for sequence in sequences]
    return Labels(task="regression", targets=("y",), classes=(), values=np.array(values, float)[:, None])


def classes(sequences: list[str]) -> Labels:
    codes = np.array([(sequence[0] in "AILMFVW") + 2 * (sequence[1] in "DE") for sequence in sequences])
    return Labels(task="classification", targets=("y",), classes=tuple("abcd"), values=codes)


def residue_labels(sequences: list[str]) -> Labels:
    """A letter for the residue before: a window sees it, a residue alone does not."""
    codes = [[0, *(int(before in "AILMFVWC") for before in sequence[:-1])] for sequence in sequences]
    return Labels(
        task="per-residue", targets=("y",), classes=("C", "H"), values=np.concatenate(codes),
        offsets=offsets_of(list(map(len, codes))),
    )  # fmt: skip


def halves(n: int) -> Fit:
    return Fit(np.arange(n // 2), np.arange(n // 2, n))


def by_name(found: list[Predictions | Missing]) -> dict[str, NDArray[np.floating]]:
    return {it.name: it.outputs for it in found if isinstance(it, Predictions)}


def test_ridges_are_those_of_scikit_learn() -> None:
    sequences = peptides(80)
    labels, fit = numbers(sequences), halves(80)
    found = by_name(find_baselines(sequences, labels, [fit], "", modality=PROTEIN, seed=0))
    features = count_features([*map(codes_of, sequences)], one_hot, N_CODES).toarray()
    expected = Ridge(alpha=1.0).fit(features[fit.train], labels.numbers[fit.train, 0])
    np.testing.assert_allclose(
        found["one-hot ridge"][:, 0], expected.predict(features[fit.judged]), atol=1e-6
    )
    assert list(found) == ["composition ridge", "k-mer ridge", "one-hot ridge", "mean"]
    np.testing.assert_allclose(found["mean"], labels.numbers[fit.train].mean())


def test_logistic_regressions_are_those_of_scikit_learn() -> None:
    sequences = peptides(120)
    labels, fit = classes(sequences), halves(120)
    found = by_name(find_baselines(sequences, labels, [fit], "", modality=PROTEIN, seed=0))
    features = count_features([*map(codes_of, sequences)], one_hot, N_CODES).toarray()
    expected = LogisticRegression().fit(features[fit.train], labels.codes[fit.train])
    np.testing.assert_allclose(
        found["one-hot logistic"], expected.predict_proba(features[fit.judged]), atol=1e-3
    )
    frequencies = np.bincount(labels.codes[fit.train], minlength=4) / 60
    np.testing.assert_allclose(found["majority class"], np.tile(frequencies, (60, 1)))


def test_of_several_labels_each_is_fitted_where_it_is_known() -> None:
    sequences = peptides(80)
    truth = np.array([[letter in sequence[:3] for letter in "ALG"] for sequence in sequences], float)
    truth[::3, 1] = np.nan
    labels = Labels(task="multi-label", targets=tuple("abc"), classes=(), values=truth)
    found = by_name(find_baselines(sequences, labels, [halves(80)], "", modality=PROTEIN, seed=0))
    assert list(found)[-1] == "label frequencies"
    for outputs in found.values():
        assert outputs.shape == (40, 3)
        assert ((outputs >= 0) & (outputs <= 1)).all()


def test_a_baseline_never_sees_what_it_is_judged_on() -> None:
    sequences = peptides(60)
    labels = numbers(sequences)
    folds = np.arange(60) % 5
    fits = [Fit(np.flatnonzero(folds != i), np.flatnonzero(folds == i)) for i in range(5)]
    before = by_name(find_baselines(sequences, labels, fits, "", modality=PROTEIN, seed=0))
    labels.numbers[7] += 1e6
    after = by_name(find_baselines(sequences, labels, fits, "", modality=PROTEIN, seed=0))
    for name in ("composition ridge", "k-mer ridge", "one-hot ridge"):
        of_its_fold = np.abs(after[name] - before[name])[folds == folds[7]]
        assert of_its_fold.max() < 1e-2, name
        assert np.abs(after[name] - before[name]).max() > 1, "the others have"


def test_a_class_that_a_fold_lacks_gets_no_probability() -> None:
    sequences = peptides(30)
    labels = classes(sequences)
    is_first = labels.codes == 0
    fit = Fit(np.flatnonzero(is_first), np.flatnonzero(~is_first))
    found = by_name(find_baselines(sequences, labels, [fit], "", modality=PROTEIN, seed=0))
    np.testing.assert_array_equal(found["k-mer logistic"][:, 1:], 0)
    np.testing.assert_array_equal(found["k-mer logistic"][:, 0], 1)


def test_sequences_of_many_lengths_have_no_sites() -> None:
    sequences = peptides(40, longest=20)
    found = find_baselines(sequences, numbers(sequences), [halves(40)], "", modality=PROTEIN, seed=0)
    (missing,) = [it for it in found if isinstance(it, Missing)]
    assert missing.name == "one-hot ridge"
    assert "12 to 20 residues" in missing.reason


def test_a_window_shows_the_neighbours_and_the_ends() -> None:
    sequences = ["ACDEFGHIKLMNPQRSTVWY", "WW"]
    rows = (
        Windows([*map(codes_of, sequences)], N_CODES)
        .one_hot(np.arange(22))
        .toarray()
        .reshape(22, N_SITES, -1)
    )
    assert (rows.sum(2) == 1).all()
    seen = rows.argmax(2)
    of_letter = dict(zip(sequences[0], seen[np.arange(20), 7], strict=True))
    outside = seen[0, 0]
    assert seen[0].tolist() == [outside] * 7 + [of_letter[letter] for letter in "ACDEFGHI"]
    assert seen[19].tolist() == [of_letter[letter] for letter in "NPQRSTVWY"[1:]] + [outside] * 7
    assert seen[20].tolist() == [outside] * 7 + [of_letter["W"]] * 2 + [outside] * 6


def test_a_window_learns_what_the_residue_before_says() -> None:
    sequences = peptides(60, longest=30)
    labels, fit = residue_labels(sequences), halves(60)
    found = by_name(find_baselines(sequences, labels, [fit], "", modality=PROTEIN, seed=0))
    truth = labels.take(fit.judged).codes
    assert list(found) == ["window of 15 residues, logistic", "majority class"]
    assert (found["window of 15 residues, logistic"].argmax(1) == truth).mean() > 0.97
    assert (found["majority class"].argmax(1) == truth).mean() < 0.8


def test_a_window_is_fitted_to_a_bounded_number_of_residues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biofm.evaluation.supervised.baselines.MOST_RESIDUES", 50)
    monkeypatch.setattr("biofm.evaluation.supervised.baselines.RESIDUES_AT_ONCE", 16)
    asked: list[int] = []
    original = Windows.one_hot

    def one_hot_of(self: Windows, residues: NDArray[np.int64]) -> object:
        asked.append(len(residues))
        return original(self, residues)

    monkeypatch.setattr(Windows, "one_hot", one_hot_of)
    sequences = peptides(20)
    (window, _) = find_baselines(
        sequences, residue_labels(sequences), [halves(20)], "all rows", modality=PROTEIN, seed=0
    )
    assert isinstance(window, Predictions)
    assert asked[0] == 50
    assert max(asked[1:]) == 16
    assert window.fitted == "all rows, at most 50 of their residues"


def test_a_mask_is_one_residue_of_no_kind() -> None:
    sequences = [*peptides(39), "ACDEF<mask>HIKLM"]
    found = find_baselines(sequences, numbers(sequences), [halves(40)], "", modality=PROTEIN, seed=0)
    assert "one-hot ridge" in [it.name for it in found if isinstance(it, Missing)], "it is 11 residues long"
    sequences[-1] += "N"
    assert "one-hot ridge" in by_name(
        find_baselines(sequences, numbers(sequences), [halves(40)], "", modality=PROTEIN, seed=0)
    )


@pytest.mark.slow
@pytest.mark.parametrize("split", GB1)
def test_one_hot_ridge_gives_the_known_numbers_on_gb1(split: str, real_data: Path) -> None:
    options = LabelOptions(
        column="sequence", targets=("target",), split_column="set", validation_column="validation"
    )
    table = read_labelled(open_gb1(real_data, split), "gb1.csv", PROTEIN, options, Counter())
    fit = Fit(np.flatnonzero(table.roles != "test"), np.flatnonzero(table.roles == "test"))
    found = find_baselines(table.sequences, table.labels, [fit], "", modality=PROTEIN, seed=0)
    (one_hot_ridge,) = [it for it in found if it.name == "one-hot ridge"]
    assert isinstance(one_hot_ridge, Predictions)
    truth = table.labels.take(fit.judged)
    model = one_hot_ridge._replace(kind="model")
    (row,) = judge_predictions(truth, [model], n_resamples=20, seed=0).rows
    assert row.measures["spearman"].value == pytest.approx(GB1[split], abs=1e-3)
