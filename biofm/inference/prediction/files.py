"""Files: this module reads and describes the folder of a trained predictor.

- ``predictor.json`` says what it predicts and how it was made.
- ``calibration.safetensors`` holds the errors from which its intervals are made.
- ``training.safetensors`` holds vectors of training rows, to measure the distance of other rows.
- ``members/<name>/`` is the folder of one member, and holds its ``head.safetensors``. After LoRA it also
  holds peft's ``adapter_config.json`` and ``adapter_model.safetensors``; after full fine-tuning the whole
  encoder, as ``biofm.load`` reads it.
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
from biofm_datasets.text import format_count
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
# The names of tensors in the calibration file. The number of a target follows the point.
SCORES, TESTED, DISTANCES = "scores.", "tested.", "distances"
ENCODER_FILES = ("config.json", "model.safetensors")

REMEDY = "Copy the predictor's folder again"

Files = Mapping[str, BinaryIO]
"""The opened files, by their paths relative to the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """Describes one member of a predictor, whose files are in ``members/<name>/``.

    Attributes:
        name: The name of the member.
        fold: The number of the fold that was kept from its training.
    """

    name: str
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorInfo:
    """Holds what ``predictor.json`` says about a predictor.

    Attributes:
        task: The kind of labels, which decides what is predicted.
        targets: The names of the columns that are predicted.
        classes: The names of the classes or letters; empty for other tasks.
        method: How the model was fine-tuned: "probe", "lora" or "full".
        pool: How the vectors of a protein become the one that the head reads.
        window: Length of the windows of long sequences in units; 0 for none.
        model: The name of the model that was fine-tuned.
        sha256: The checksum of that model's weights.
        dtype: The dtype in which the predictor was tested.
        members: The members of the ensemble.
        temperatures: See ``biofm.evaluation.calibration``.
        spreads: See ``biofm.evaluation.calibration``.
        n_calibrated: How many rows or residues the calibration used.
        is_merged: Whether the members are whole encoders, with adapters added to their weights.
        gaps: What was done with gaps in the training table. Without this field, gaps were kept.
        modality: What the model reads. Earlier versions of biofm did not write it, and read proteins.
        alphabet_sha256: The checksum of the model's alphabet; empty for a predictor of an earlier version.
        promise: How good the probabilities were on test rows; None where this is unknown.
        training: Describes the rows of training; None for a predictor of an earlier version.
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
        """Whether each member has a whole encoder; otherwise they need the model that was fine-tuned."""
        return self.method == "full" or self.is_merged

    @property
    def n_outputs(self) -> int:
        """The number of outputs that a head has for a row: one for each class, else one for each target."""
        return len(self.classes) or len(self.targets)


def find_predictor(folder: Path) -> Path:
    """Return the folder of a predictor.

    Args:
        folder: The folder of the predictor, or that of a run which holds it as ``predictor``.
    """
    inside = folder / "predictor"
    is_of_run = not (folder / PREDICTOR_FILE).is_file() and (inside / PREDICTOR_FILE).is_file()
    return inside if is_of_run else folder


def files_of_predictor(folder: Path) -> tuple[Path, ...]:
    """Return the paths of all files of a predictor.

    Args:
        folder: The folder of the predictor.

    Raises:
        ModelError: The folder holds no predictor.
    """
    described = folder / PREDICTOR_FILE
    if not described.is_file():
        remedy = "Give the folder predictor/ of a run of `biofm finetune`"
        raise ModelError(f"there is no {PREDICTOR_FILE} in this folder", where=str(folder), remedy=remedy)
    beside = (folder / CALIBRATION_FILE, folder / TRAINING_FILE, *sorted((folder / MEMBERS).glob("*/*")))
    return (described, *(path for path in beside if path.is_file() and not path.name.startswith(".")))


class PredictorFiles:
    """Reads the parts of a predictor from its opened files.

    Args:
        files: The opened files, by their paths relative to the folder.
        where: The name of the folder, for messages.
        info: What ``predictor.json`` says, if it has been read already.

    Raises:
        ModelError: A file is missing, is damaged, or does not fit the others. The methods raise it too.
    """

    def __init__(self, files: Files, where: str, info: PredictorInfo | None = None) -> None:
        self._files = files
        self._where = where
        self.info = info or read_info(self._file(PREDICTOR_FILE), where)

    def calibration(self) -> Calibration:
        """Read what turns the outputs of the members into intervals and probabilities."""
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
        """Read which rows are like those of training; None for a predictor of an earlier version of biofm."""
        if self.info.training is None:
            return None
        return Domain(self.info.training, self._ascending().get(DISTANCES, np.empty(0)))

    def nearest(self) -> Nearest | None:
        """Read the kept training rows; None for a predictor of an earlier version of biofm, without them."""
        if TRAINING_FILE not in self._files:
            return None
        arrays = {name: tensor.numpy() for name, tensor in self._tensors(TRAINING_FILE).items()}
        return read_nearest(arrays, f"{self._where}/{TRAINING_FILE}")

    def head(self, member: str) -> Head:
        """Read the head of a member.

        Args:
            member: The name of the member.
        """
        name = f"{MEMBERS}/{member}/{HEAD_FILE}"
        head = read_head(self.info.task, self._tensors(name), f"{self._where}/{name}")
        if head.n_outputs != self.info.n_outputs:
            what = f"its head has {format_count(head.n_outputs, 'output')}, not {self.info.n_outputs}"
            raise ModelError(what, where=f"{self._where}/{name}", remedy=REMEDY)
        return head

    def checkpoint(self, member: str) -> Checkpoint:
        """Read the encoder of a member, which a full fine-tuning or the merge of its adapters has written.

        Args:
            member: The name of the member.
        """
        begin = f"{MEMBERS}/{member}/"
        files = {name: self._file(begin + name) for name in ENCODER_FILES}
        return read_checkpoint(files, f"{self._where}/{begin}")

    def merge_adapter(self, member: str, checkpoint: Checkpoint) -> None:
        """Add the adapter of a member to the weights of a model, in place.

        Args:
            member: The name of the member.
            checkpoint: The model that was fine-tuned.
        """
        begin = f"{MEMBERS}/{member}/"
        config = self._file(begin + adapters.CONFIG_FILE).read()
        weights = self._tensors(begin + adapters.WEIGHTS_FILE)
        adapters.merge_adapter(checkpoint.module.encoder, config, weights, f"{self._where}/{begin}")

    def _ascending(self) -> dict[str, Floats]:
        """Read the errors and distances of the calibration file, and check that they ascend from 0."""
        found = {name: tensor.double().numpy() for name, tensor in self._tensors(CALIBRATION_FILE).items()}
        for name, values in found.items():
            if values.ndim != 1 or not np.isfinite(values).all() or (np.diff(values, prepend=0) < 0).any():
                what = f"{name} in {CALIBRATION_FILE} does not hold errors or distances in ascending order"
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
            what = f"{name} is not a complete safetensors file ({error})"
            raise ModelError(what, where=self._where, remedy=REMEDY) from error


def write_info(info: PredictorInfo) -> bytes:
    """Return the content of ``predictor.json``.

    Args:
        info: What the file is to say.
    """
    content = {"format": FORMAT, "version": VERSION, "biofm_version": __version__} | asdict(info)
    return json.dumps(content, indent=2).encode() + b"\n"


def read_info(handle: BinaryIO, where: str) -> PredictorInfo:
    """Read ``predictor.json``. Raise ModelError if it is damaged, newer than biofm, or another file."""
    remedy = "Give the folder predictor/ of a run of `biofm finetune`"
    try:
        content = load_json(handle)
        if content["format"] != FORMAT:
            raise KeyError("format")
        if content["version"] > VERSION:
            what = f"the predictor has version {content['version']}, but this biofm reads up to {VERSION}"
            raise ModelError(what, where=where, remedy="Update biofm")
        return _info_from(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"this file does not describe a predictor ({error})"
        raise ModelError(what, where=where, remedy=remedy) from error


def _info_from(content: dict[str, Any]) -> PredictorInfo:
    """Return the checked fields of the file. Raise ValueError if one does not fit the others."""
    fields = PredictorInfo.__dataclass_fields__
    known = {name: value for name, value in content.items() if name in fields}
    info: PredictorInfo = from_json(PredictorInfo, known, "the predictor")
    if not info.members or not info.targets:
        raise ValueError("it has no members or no targets")
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
        spreads, targets = (
            format_count(len(info.spreads), "spread"),
            format_count(len(info.targets), "target"),
        )
        raise ValueError(f"{spreads} for {targets}")
    n_temperatures = len(info.temperatures)
    if n_temperatures not in (0, 1, info.n_outputs) or not all(map(is_temperature, info.temperatures)):
        raise ValueError(f"temperatures {info.temperatures}")
    return info
