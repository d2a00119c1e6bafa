"""The files of a predictor that somebody changed: what could not have been written is refused by name."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from biofm.core import ModelError
from biofm.inference.prediction import (
    CALIBRATION_FILE,
    PREDICTOR_FILE,
    TRAINING_FILE,
    MemberInfo,
    PredictorFiles,
    PredictorInfo,
    write_info,
)


def description(**changed: object) -> bytes:
    info = PredictorInfo(
        task="regression", targets=("a", "b"), classes=(), method="probe", pool="mean", window=0,
        model="m", sha256="0" * 64, dtype="float32", members=(MemberInfo(name="seed-0", fold=0),),
        spreads=(0.0, 0.5), n_calibrated=4,
    )  # fmt: skip
    return json.dumps(json.loads(write_info(info)) | changed).encode()


def classes(**changed: Any) -> bytes:
    values: dict[str, Any] = {
        "task": "classification",
        "targets": ["a"],
        "classes": ["x", "y"],
        "spreads": [],
    }
    return description(**(values | changed))


def predictor(
    described: bytes, calibration: dict[str, Tensor] | None = None, training: dict[str, Tensor] | None = None
) -> PredictorFiles:
    files = {PREDICTOR_FILE: described, CALIBRATION_FILE: save(calibration or {})}
    if training is not None:
        files[TRAINING_FILE] = save(training)
    return PredictorFiles({name: io.BytesIO(content) for name, content in files.items()}, "p")


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (classes(temperatures=[5e-324]), r"temperatures \("),
        (classes(temperatures=[1e9]), r"temperatures \("),
        (classes(temperatures=[-1]), r"temperatures \("),
        (classes(classes=["x", "x"]), "two classes are named x"),
        (description(targets=["a", "a"]), "two targets are named a"),
        (description(members=[{"name": "m", "fold": 0}] * 2), "two members are named m"),
        (description(spreads=[0.0, -1.0]), "spreads is -1.0, below 0"),
        (description(window=-1), "window is -1, below 0"),
        (description(n_calibrated=-1), "n_calibrated is -1, below 0"),
    ],
)
def test_a_description_that_no_training_gives_is_refused(described: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=rf"^p: this file does not describe a predictor \(.*{message}"):
        predictor(described)


def test_what_training_gives_is_read() -> None:
    calibration = {"scores.0": torch.tensor([0.0, 0.0, 2.0]), "scores.1": torch.arange(4.0).double()}
    intervals = predictor(description(), calibration).calibration().intervals
    assert [list(one.scores) for one in intervals] == [[0, 0, 2], [0, 1, 2, 3]]
    assert predictor(classes(temperatures=[19.9])).calibration().temperatures == (19.9,)


@pytest.mark.parametrize("name", ["scores.0", "scores.1", "tested.0", "distances"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda: torch.arange(4.0).reshape(2, 2),
        lambda: torch.tensor([1.0, 0.5]),
        lambda: torch.tensor([-1.0, 0.5]),
        lambda: torch.tensor([0.5, float("nan")]),
        lambda: torch.tensor([0.5, float("inf")]),
        lambda: torch.tensor(1.0),
    ],
)
def test_errors_and_distances_that_do_not_ascend_from_0_are_refused(
    name: str, wrong: Callable[[], Tensor]
) -> None:
    good = {"scores.0": torch.arange(4.0), "scores.1": torch.arange(4.0)}
    with pytest.raises(ModelError, match=rf"^p: {name} in calibration\.safetensors does not hold errors"):
        predictor(description(), good | {name: wrong()}).calibration()


@pytest.mark.parametrize("name", ["mean", "factor", "vectors"])
def test_kept_vectors_that_are_not_finite_are_refused(name: str) -> None:
    training = {"mean": torch.zeros(2), "factor": torch.ones(2), "vectors": torch.zeros(3, 2)}
    assert predictor(description(), None, training).nearest() is not None
    training[name] = training[name] + float("nan")
    with pytest.raises(ModelError, match=r"^p/training\.safetensors: the vectors of the training rows hold"):
        predictor(description(), None, training).nearest()
