"""What a trained predictor is, as its ``predictor.json`` says it."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from biofm_datasets.documents import from_json, load_json
from biofm_datasets.protein import Gaps

from biofm.core.choices import FinetuneMethod, HeadPool, Task
from biofm.core.errors import ModelError
from biofm.core.version import __version__
from biofm.evaluation import Promise, is_temperature
from biofm.inference.prediction.domain import TrainingRows

FORMAT, VERSION = "biofm predictor", 1
FILE = "predictor.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """One of an ensemble. Its files are in ``members/<name>/``; ``fold`` is the one that it was not shown."""

    name: str
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorInfo:
    """``model`` and ``sha256`` are the encoder's that was fine-tuned, ``dtype`` that in which the predictor
    was judged, ``window`` as in ``EmbedOptions`` (0: none). ``is_merged``: its members are whole encoders, to
    whose weights adapters were added. ``gaps``: what became of those in its table; a predictor that does not
    say it kept them. ``modality``, ``alphabet_sha256``: of what its model reads; an earlier biofm wrote down
    neither, and read proteins.

    ``temperatures``, ``spreads``, ``n_calibrated``, ``promise``: of ``biofm.evaluation.calibration``; the
    scores of its intervals are in ``calibration.safetensors``. ``training``: the rows that it learned from;
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
        """Whether each member is a whole encoder; else they stand on the one that was fine-tuned."""
        return self.method == "full" or self.is_merged

    @property
    def n_outputs(self) -> int:
        return len(self.classes) or len(self.targets)


def write_info(info: PredictorInfo) -> bytes:
    content = {"format": FORMAT, "version": VERSION, "biofm_version": __version__} | asdict(info)
    return json.dumps(content, indent=2).encode() + b"\n"


def read_info(handle: BinaryIO, where: str) -> PredictorInfo:
    """Raises ModelError: this is no predictor, one of a newer biofm, or damaged."""
    remedy = "Give the folder predictor/ of a run of `biofm finetune`"
    try:
        content = load_json(handle)
        if content["format"] != FORMAT:
            raise KeyError("format")
        if content["version"] > VERSION:
            what = f"the predictor has version {content['version']}, and this biofm reads up to {VERSION}"
            raise ModelError(what, where=where, remedy="Update biofm")
        return _from(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"not a predictor's description ({error})", where=where, remedy=remedy) from error


def _from(content: dict[str, Any]) -> PredictorInfo:
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
