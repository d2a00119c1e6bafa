"""Predictions as columns: which there are for each task, and what stands in them."""

from typing import Any

import numpy as np
import pytest

from biofm.evaluation import Calibration, Intervals
from biofm.inference.prediction import Combined, MemberInfo, PredictorInfo, prediction_columns


def info(task: Any, targets: tuple[str, ...] = ("y",), classes: tuple[str, ...] = ()) -> PredictorInfo:
    return PredictorInfo(
        task=task, targets=targets, classes=classes, method="probe", pool="mean", window=0, model="it",
        sha256="0", dtype="float32", members=(MemberInfo(name="seed-0", fold=0),),
    )  # fmt: skip


def intervals(n: int, n_targets: int = 1) -> Calibration:
    scores = np.linspace(0, 1, n)
    return Calibration(intervals=(Intervals(scores=scores),) * n_targets, n=n)


def columns(about: PredictorInfo, outputs: Any, calibration: Calibration, **changes: Any) -> dict[str, Any]:
    found = Combined(np.array(outputs, float), None)
    lengths = changes.pop("lengths", [1] * len(outputs))
    return prediction_columns(
        about, found, lengths, calibration, 0.9, with_lists=changes.pop("with_lists", False)
    )


def test_a_number_stands_between_its_bounds() -> None:
    found = columns(info("regression"), [[1.0], [5.0]], intervals(99))
    assert list(found) == ["prediction", "low", "high"]
    width = np.linspace(0, 1, 99)[89]
    np.testing.assert_allclose(found["low"].to_numpy(zero_copy_only=False), [1 - width, 5 - width], atol=1e-6)
    np.testing.assert_allclose(
        found["high"].to_numpy(zero_copy_only=False), [1 + width, 5 + width], atol=1e-6
    )


def test_bounds_that_cannot_be_promised_are_empty() -> None:
    found = columns(info("regression"), [[1.0]], intervals(5))
    assert found["prediction"].tolist() == [1.0]
    assert found["low"].to_pylist() == found["high"].to_pylist() == [None]


def test_several_targets_add_their_names() -> None:
    found = columns(info("regression", ("a", "b")), [[1.0, 2.0]], intervals(20, 2))
    assert list(found) == ["prediction_a", "low_a", "high_a", "prediction_b", "low_b", "high_b"]
    labels = columns(info("multi-label", ("a", "b")), [[0.7, 0.2]], Calibration(temperatures=(1.0, 1.0)))
    assert {name: values.tolist() for name, values in labels.items()} == {
        "prediction_a": [1], "probability_a": pytest.approx([0.7]),
        "prediction_b": [0], "probability_b": pytest.approx([0.2]),
    }  # fmt: skip


def test_a_class_stands_with_its_probability_and_those_of_all() -> None:
    found = columns(
        info("classification", classes=("x", "y z")),
        [[0.8, 0.2], [0.5, 0.5]],
        Calibration(temperatures=(2.0,)),
    )
    assert list(found) == ["prediction", "probability", "probability_x", "probability_y z"]
    assert found["prediction"] == ["x", "x"]
    assert found["probability"].tolist() == pytest.approx([2 / 3, 0.5])


def test_residues_have_a_text_of_letters_and_lists_where_they_can_stand() -> None:
    outputs = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]
    about = info("per-residue", classes=("C", "H"))
    found = columns(about, outputs, Calibration(), lengths=[2, 1], with_lists=True)
    assert found["prediction"] == ["CH", "C"]
    assert [[round(p, 3) for p in row] for row in found["probability_H"].to_pylist()] == [[0.1, 0.8], [0.4]]
    assert list(columns(about, outputs, Calibration(), lengths=[2, 1])) == ["prediction"]
