"""The folder of a trained predictor: which files it has, and from opened files to its parts.

``predictor.json``; ``calibration.safetensors``; ``training.safetensors``, vectors of rows that trained, by
which the distance of others is told; and for each member, in ``members/<name>/``, its
``head.safetensors`` and, after LoRA, peft's ``adapter_config.json`` and ``adapter_model.safetensors``, after
a full fine-tuning the encoder as ``biofm.load`` reads it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors.torch
from biofm_datasets.arrays import Floats
from safetensors import SafetensorError
from torch import Tensor

from biofm.core.errors import ModelError
from biofm.evaluation import Calibration, Intervals
from biofm.inference.prediction import adapters
from biofm.inference.prediction.domain import Domain
from biofm.inference.prediction.heads import Head, read_head
from biofm.inference.prediction.info import FILE, PredictorInfo, read_info
from biofm.inference.prediction.nearest import Nearest, read_nearest
from biofm.models import Checkpoint, read_checkpoint

CALIBRATION_FILE, TRAINING_FILE = "calibration.safetensors", "training.safetensors"
HEAD_FILE, MEMBERS = "head.safetensors", "members"
# Tensors of the first; two with a target's number behind the point.
SCORES, TESTED, DISTANCES = "scores.", "tested.", "distances"
ENCODER_FILES = ("config.json", "model.safetensors")

REMEDY = "Copy the predictor's folder again"

Files = Mapping[str, BinaryIO]
"""Opened files by their names, relative to the folder."""


def find_predictor(folder: Path) -> Path:
    """The folder of the predictor: this one, or ``predictor`` in it, where it is that of a run."""
    inside = folder / "predictor"
    return inside if not (folder / FILE).is_file() and (inside / FILE).is_file() else folder


def files_of_predictor(folder: Path) -> tuple[Path, ...]:
    """Raises ModelError where the folder holds no predictor."""
    if not (folder / FILE).is_file():
        remedy = "Give the folder predictor/ of a run of `biofm finetune`"
        raise ModelError(f"there is no {FILE} in this folder", where=str(folder), remedy=remedy)
    beside = (folder / CALIBRATION_FILE, folder / TRAINING_FILE, *sorted((folder / MEMBERS).glob("*/*")))
    return (folder / FILE, *(path for path in beside if path.is_file() and not path.name.startswith(".")))


class PredictorFiles:
    """Reads the parts of a predictor. Raises ModelError where a file is missing, damaged or does not fit."""

    def __init__(self, files: Files, where: str, info: PredictorInfo | None = None) -> None:
        self._files = files
        self._where = where
        self.info = info or read_info(self._file(FILE), where)

    def calibration(self) -> Calibration:
        info = self.info
        found = self._ascending() if info.task == "regression" else {}
        intervals = [
            Intervals(
                scores=found.get(f"{SCORES}{i}", np.empty(0)), spread=spread, tested=found.get(f"{TESTED}{i}")
            )
            for i, spread in enumerate(info.spreads)
        ]
        return Calibration(
            intervals=tuple(intervals),
            temperatures=info.temperatures,
            n=info.n_calibrated,
            promise=info.promise,
        )

    def domain(self) -> Domain | None:
        """None of a predictor that an earlier biofm made."""
        if self.info.training is None:
            return None
        return Domain(self.info.training, self._ascending().get(DISTANCES, np.empty(0)))

    def nearest(self) -> Nearest | None:
        """None of a predictor that an earlier biofm made or began."""
        if TRAINING_FILE not in self._files:
            return None
        arrays = {name: tensor.numpy() for name, tensor in self._tensors(TRAINING_FILE).items()}
        return read_nearest(arrays, f"{self._where}/{TRAINING_FILE}")

    def head(self, member: str) -> Head:
        name = f"{MEMBERS}/{member}/{HEAD_FILE}"
        head = read_head(self.info.task, self._tensors(name), f"{self._where}/{name}")
        if head.n_outputs != self.info.n_outputs:
            what = f"its head gives {head.n_outputs} numbers, not {self.info.n_outputs}"
            raise ModelError(what, where=f"{self._where}/{name}", remedy=REMEDY)
        return head

    def checkpoint(self, member: str) -> Checkpoint:
        """The member's own encoder, after a full fine-tuning."""
        begin = f"{MEMBERS}/{member}/"
        files = {name: self._file(begin + name) for name in ENCODER_FILES}
        return read_checkpoint(files, f"{self._where}/{begin}")

    def merge_adapter(self, member: str, checkpoint: Checkpoint) -> None:
        """Add the member's adapter to an encoder, in place."""
        begin = f"{MEMBERS}/{member}/"
        config = self._file(begin + adapters.CONFIG_FILE).read()
        weights = self._tensors(begin + adapters.WEIGHTS_FILE)
        adapters.merge_adapter(checkpoint.module.encoder, config, weights, f"{self._where}/{begin}")

    def _ascending(self) -> dict[str, Floats]:
        """The arrays of the calibration file: errors and distances, which begin at 0 and ascend."""
        found = {name: tensor.double().numpy() for name, tensor in self._tensors(CALIBRATION_FILE).items()}
        for name, values in found.items():
            if values.ndim != 1 or not np.isfinite(values).all() or (np.diff(values, prepend=0) < 0).any():
                what = f"{name} of {CALIBRATION_FILE} holds no errors or distances in ascending order"
                raise ModelError(what, where=self._where, remedy=REMEDY)
        return found

    def _file(self, name: str) -> BinaryIO:
        if name not in self._files:
            raise ModelError(f"{name} is missing", where=self._where, remedy=REMEDY)
        return self._files[name]

    def _tensors(self, name: str) -> dict[str, Tensor]:
        file = self._file(name)
        file.seek(0)
        try:
            return safetensors.torch.load(file.read())
        except SafetensorError as error:
            what = f"{name} is no whole safetensors file ({error})"
            raise ModelError(what, where=self._where, remedy=REMEDY) from error
