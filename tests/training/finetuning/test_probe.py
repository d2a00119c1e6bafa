"""Probes: linear heads on vectors, whose penalty is chosen on rows that they then learn from too."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from biofm.evaluation import fit_logistic
from biofm.evaluation.supervised import Labels, offsets_of
from biofm.training.finetuning import probe
from biofm.training.finetuning.plan import MemberPlan
from biofm.training.finetuning.probe import fit_probe

D = 6


def member(n: int, seed: int = 0) -> MemberPlan:
    rows = np.arange(n)
    validation = rows[::4]
    train = np.setdiff1d(rows, validation)
    return MemberPlan(name="it", fold=0, seed=seed, train=train, validation=validation, held_out=validation)


def labelled(task: Any, n: int = 160) -> tuple[Labels, NDArray[np.float32]]:
    """Make vectors whose first dimensions tell the labels, with noise."""
    rng = np.random.default_rng(0)
    if task == "per-residue":
        lengths = rng.integers(3, 9, n)
        vectors = rng.normal(size=(lengths.sum(), D)).astype(np.float32)
        codes = vectors[:, :3].argmax(1)
        codes[::9] = -1
        labels = Labels(
            task=task, targets=("y",), classes=tuple("abc"), values=codes, offsets=offsets_of(lengths)
        )
        return labels, vectors
    vectors = rng.normal(size=(n, D)).astype(np.float32)
    if task == "classification":
        codes = vectors[:, :3].argmax(1)
        return Labels(task=task, targets=("y",), classes=tuple("abc"), values=codes), vectors
    noisy = vectors[:, :2] + 0.2 * rng.normal(size=(n, 2))
    truth = noisy if task == "regression" else (noisy > 0.3).astype(np.float64)
    truth[::5, 1] = np.nan
    return Labels(task=task, targets=("a", "b"), classes=(), values=truth), vectors


@pytest.mark.parametrize("task", ["classification", "per-residue"])
def test_classes_are_learned(task: str) -> None:
    labels, vectors = labelled(task)
    fitted = fit_probe(member(160), labels, vectors, resamples=False)
    outputs = fitted.final.outputs(vectors, np.ones(len(vectors), np.int64))
    is_known = labels.codes >= 0
    assert (outputs.argmax(1) == labels.codes)[is_known].mean() > 0.85
    np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-5)
    assert fitted.penalty["c"] in probe.CS


def test_several_numbers_are_learned_where_they_are_known() -> None:
    labels, vectors = labelled("regression")
    fitted = fit_probe(member(160), labels, vectors, resamples=False)
    outputs = fitted.final.outputs(vectors, np.ones(160, np.int64))
    for i in range(2):
        is_known = ~np.isnan(labels.numbers[:, i])
        assert np.corrcoef(outputs[is_known, i], labels.numbers[is_known, i])[0, 1] > 0.95
    assert list(fitted.penalty) == ["alpha a", "alpha b"]


def test_several_labels_are_learned() -> None:
    labels, vectors = labelled("multi-label")
    outputs = fit_probe(member(160), labels, vectors, resamples=False).final.outputs(
        vectors, np.ones(160, np.int64)
    )
    is_known = ~np.isnan(labels.numbers)
    assert ((outputs > 0.5) == (labels.numbers == 1))[is_known].mean() > 0.85


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_what_calibrates_has_not_seen_the_validation_rows(task: str) -> None:
    labels, vectors = labelled(task)
    if task == "classification":
        monkey = pytest.MonkeyPatch()
        monkey.setattr(probe, "CS", (0.1,))  # which is chosen by them
    before = fit_probe(member(160), labels, vectors, resamples=False)
    labels.values[::4] = labels.values[::4][::-1].copy()
    after = fit_probe(member(160), labels, vectors, resamples=False)
    if task == "classification":
        monkey.undo()
    x, ones = vectors, np.ones(160, np.int64)
    np.testing.assert_array_equal(before.judged.outputs(x, ones), after.judged.outputs(x, ones))
    assert np.abs(before.final.outputs(x, ones) - after.final.outputs(x, ones)).max() > 0.01


def test_members_of_an_ensemble_see_the_rows_drawn_anew() -> None:
    labels, vectors = labelled("regression")
    ones = np.ones(160, np.int64)
    first, second, again = (
        fit_probe(member(160, seed), labels, vectors, resamples=True).final.outputs(vectors, ones)
        for seed in (0, 1, 0)
    )
    np.testing.assert_array_equal(first, again)
    assert 0.001 < np.abs(first - second).max() < 1
    one, other = (fit_probe(member(160, seed), labels, vectors, resamples=False).final for seed in (0, 1))
    np.testing.assert_array_equal(one.outputs(vectors, ones), other.outputs(vectors, ones))


def test_residues_beyond_what_memory_is_for_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, vectors = labelled("per-residue")
    seen: list[int] = []

    def fit(features: Any, *others: Any, **options: Any) -> Any:
        seen.append(len(features))
        return fit_logistic(features, *others, **options)

    monkeypatch.setattr(probe, "fit_logistic", fit)
    monkeypatch.setattr(probe, "MOST_UNITS", 90)
    monkeypatch.setattr(probe, "MOST_UNITS_TO_CHOOSE", 50)
    fit_probe(member(160), labels, vectors, resamples=False)
    assert seen == [50] * len(probe.CS) + [90, 90]
    seen.clear()
    monkeypatch.setattr(probe, "MOST_BYTES", 4 * D * 30)
    fit_probe(member(160), labels, vectors, resamples=False)
    assert max(seen) == 30


def test_a_class_that_training_lacks_is_never_predicted() -> None:
    labels, vectors = labelled("classification")
    labels.codes[:] = np.where(labels.codes == 1, 0, labels.codes)
    outputs = fit_probe(member(160), labels, vectors, resamples=False).final.outputs(
        vectors, np.ones(160, np.int64)
    )
    np.testing.assert_array_equal(outputs[:, 1], 0)
