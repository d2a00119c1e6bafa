"""The folder of a trained predictor: which files it has, and how they are read.

- ``predictor.json`` says what it predicts, and how it was made.
- ``calibration.safetensors`` holds the errors that its intervals are made from.
- ``training.safetensors`` holds vectors of training rows, from which the distance of other rows is measured.
- ``members/<name>/``, a folder for each member, holds its ``head.safetensors``; after LoRA also peft's
  ``adapter_config.json`` and ``adapter_model.safetensors``, after full fine-tuning also the whole encoder, as
  ``biofm.load`` reads it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.torch
from biofm_datasets.arrays import Floats
from biofm_datasets.documents import from_json, load_json
from biofm_datasets.protein import Gaps
from safetensors import SafetensorError
from torch import Tensor

from biofm.core.choices import FinetuneMethod, HeadPool, Task
from biofm.core.environment import __version__
from biofm.core.errors import ModelError
from biofm.evaluation import Calibration, Intervals, Promise, is_temperature
from biofm.inference.prediction import adapters
from biofm.inference.prediction.domain import Domain, Nearest, TrainingRows, read_nearest
from biofm.inference.prediction.heads import Head, read_head
from biofm.models import Checkpoint, read_checkpoint

FORMAT, VERSION = "biofm predictor", 1
PREDICTOR_FILE = "predictor.json"
CALIBRATION_FILE, TRAINING_FILE = "calibration.safetensors", "training.safetensors"
HEAD_FILE, MEMBERS = "head.safetensors", "members"
# Tensors of the calibration file; behind the point stands the number of a target.
SCORES, TESTED, DISTANCES = "scores.", "tested.", "distances"
ENCODER_FILES = ("config.json", "model.safetensors")

REMEDY = "Copy the predictor's folder again"

Files = Mapping[str, BinaryIO]
"""Opened files by their paths relative to the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """One member of a predictor. Its files are in ``members/<name>/``; ``fold`` is the one kept from its
    training.
    """

    name: str
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorInfo:
    """What ``predictor.json`` says of a predictor.

    ``model`` and ``sha256`` are the name and the checksum of the model that was fine-tuned; ``dtype`` and
    ``window`` (in units; 0: none) are those with which the predictor was judged. Where ``is_merged``, the
    members are whole encoders, with adapters added to their weights. ``gaps`` says what was done with gaps in
    the training table; a predictor that does not say it kept them. ``modality`` and ``alphabet_sha256`` are
    those of the model; an earlier biofm wrote down neither, and read proteins.

    ``temperatures``, ``spreads``, ``n_calibrated`` and ``promise`` are explained in
    ``biofm.evaluation.calibration``. ``training`` describes the rows that the predictor learned from; it is
    None in a predictor of an earlier biofm, which kept nothing of them.
    """

    task: Task
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    method: FinetuneMethod
    pool: HeadPool
    window: int
    model: str
    sha256: str
    dtype: str
    members: tuple[MemberInfo, ...]
    temperatures: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    n_calibrated: int = 0
    is_merged: bool = False
    gaps: Gaps = "keep"
    modality: str = "protein"
    alphabet_sha256: str = ""
    promise: Promise | None = None
    training: TrainingRows | None = None

    @property
    def has_encoders(self) -> bool:
        """Whether each member has a whole encoder; else they need the model that was fine-tuned."""
        return self.method == "full" or self.is_merged

    @property
    def n_outputs(self) -> int:
        """How many numbers a head gives for a row: the classes, or else the targets."""
        return len(self.classes) or len(self.targets)


def find_predictor(folder: Path) -> Path:
    """The predictor's folder: ``folder`` itself, or ``predictor`` in it where it is the folder of a run."""
    inside = folder / "predictor"
    is_of_run = not (folder / PREDICTOR_FILE).is_file() and (inside / PREDICTOR_FILE).is_file()
    return inside if is_of_run else folder


def files_of_predictor(folder: Path) -> tuple[Path, ...]:
    """The paths of all files of a predictor. Raises ModelError where the folder holds none."""
    described = folder / PREDICTOR_FILE
    if not described.is_file():
        remedy = "Give the folder predictor/ of a run of `biofm finetune`"
        raise ModelError(f"there is no {PREDICTOR_FILE} in this folder", where=str(folder), remedy=remedy)
    beside = (folder / CALIBRATION_FILE, folder / TRAINING_FILE, *sorted((folder / MEMBERS).glob("*/*")))
    return (described, *(path for path in beside if path.is_file() and not path.name.startswith(".")))


class PredictorFiles:
    """Reads the parts of a predictor from its opened files.

    Its methods raise ModelError where a file is missing, damaged or does not fit. ``where`` is the folder's
    name, for messages.
    """

    def __init__(self, files: Files, where: str, info: PredictorInfo | None = None) -> None:
        self._files = files
        self._where = where
        self.info = info or read_info(self._file(PREDICTOR_FILE), where)

    def calibration(self) -> Calibration:
        """What makes intervals and probabilities from the outputs of the members."""
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
        """Which rows are like those of training; None for a predictor that an earlier biofm made."""
        if self.info.training is None:
            return None
        return Domain(self.info.training, self._ascending().get(DISTANCES, np.empty(0)))

    def nearest(self) -> Nearest | None:
        """The kept training rows; None for a predictor whose training an earlier biofm made or began."""
        if TRAINING_FILE not in self._files:
            return None
        arrays = {name: tensor.numpy() for name, tensor in self._tensors(TRAINING_FILE).items()}
        return read_nearest(arrays, f"{self._where}/{TRAINING_FILE}")

    def head(self, member: str) -> Head:
        """The head of the member with this name."""
        name = f"{MEMBERS}/{member}/{HEAD_FILE}"
        head = read_head(self.info.task, self._tensors(name), f"{self._where}/{name}")
        if head.n_outputs != self.info.n_outputs:
            what = f"its head gives {head.n_outputs} numbers, not {self.info.n_outputs}"
            raise ModelError(what, where=f"{self._where}/{name}", remedy=REMEDY)
        return head

    def checkpoint(self, member: str) -> Checkpoint:
        """The member's own encoder, which a full fine-tuning, or merged adapters, left."""
        begin = f"{MEMBERS}/{member}/"
        files = {name: self._file(begin + name) for name in ENCODER_FILES}
        return read_checkpoint(files, f"{self._where}/{begin}")

    def merge_adapter(self, member: str, checkpoint: Checkpoint) -> None:
        """Add the member's adapter to the weights of ``checkpoint``, in place."""
        begin = f"{MEMBERS}/{member}/"
        config = self._file(begin + adapters.CONFIG_FILE).read()
        weights = self._tensors(begin + adapters.WEIGHTS_FILE)
        adapters.merge_adapter(checkpoint.module.encoder, config, weights, f"{self._where}/{begin}")

    def _ascending(self) -> dict[str, Floats]:
        """The arrays of the calibration file: errors and distances, none below 0, in ascending order."""
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


def write_info(info: PredictorInfo) -> bytes:
    """The content of ``predictor.json``."""
    content = {"format": FORMAT, "version": VERSION, "biofm_version": __version__} | asdict(info)
    return json.dumps(content, indent=2).encode() + b"\n"


def read_info(handle: BinaryIO, where: str) -> PredictorInfo:
    """Read ``predictor.json``. Raises ModelError where it is damaged, of a newer biofm, or something else."""
    remedy = "Give the folder predictor/ of a run of `biofm finetune`"
    try:
        content = load_json(handle)
        if content["format"] != FORMAT:
            raise KeyError("format")
        if content["version"] > VERSION:
            what = f"the predictor has version {content['version']}, and this biofm reads up to {VERSION}"
            raise ModelError(what, where=where, remedy="Update biofm")
        return _info_from(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"not a predictor's description ({error})", where=where, remedy=remedy) from error


def _info_from(content: dict[str, Any]) -> PredictorInfo:
    """The fields of the file, checked. Raises ValueError where one does not fit the others."""
    fields = PredictorInfo.__dataclass_fields__
    known = {name: value for name, value in content.items() if name in fields}
    info: PredictorInfo = from_json(PredictorInfo, known, "the predictor")
    if not info.members or not info.targets:
        raise ValueError("it has no members, or predicts nothing")
    names = {"targets": info.targets, "classes": info.classes, "members": [it.name for it in info.members]}
    for kind, called in names.items():
        if twice := [name for name, n in Counter(called).items() if n > 1]:
            raise ValueError(f"two {kind} are named {twice[0]}")
    for name, least in {
        "window": info.window,
        "n_calibrated": info.n_calibrated,
        "spreads": min((0.0, *info.spreads)),
    }.items():
        if least < 0:
            raise ValueError(f"{name} is {least}, below 0")
    if info.task == "regression" and len(info.spreads) != len(info.targets):
        raise ValueError(f"{len(info.spreads)} spreads for {len(info.targets)} targets")
    n_temperatures = len(info.temperatures)
    if n_temperatures not in (0, 1, info.n_outputs) or not all(map(is_temperature, info.temperatures)):
        raise ValueError(f"temperatures of {info.temperatures}")
    return info
