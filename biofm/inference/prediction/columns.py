"""Predictions as columns of a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.evaluation import THRESHOLD, Calibration
from biofm.inference.prediction.ensemble import Combined
from biofm.inference.prediction.info import PredictorInfo

Columns = dict[str, Any]


def columns_of(
    info: PredictorInfo,
    found: Combined,
    lengths: Sequence[int],
    calibration: Calibration,
    coverage: float,
    *,
    with_lists: bool,
) -> Columns:
    """A column's name and one value a sequence; ``lengths`` are its residues.

    A regression has ``prediction``, ``low`` and ``high``, the bounds empty where too few rows calibrated
    them. Classes have ``prediction``, ``probability`` and the probability of each class; labels
    ``prediction`` (1 where the probability is a half or more) and ``probability``. Several targets add their
    names. Residues have a text of letters and, ``with_lists``, lists of the probability of each letter.
    """
    if info.task == "regression":
        return _numbers(info, found, calibration, coverage)
    probabilities = calibration.shown(found.outputs)
    if info.task == "multi-label":
        return _labels(info, probabilities)
    if info.task == "per-residue":
        return _letters(info, probabilities, lengths, with_lists=with_lists)
    return _classes(info, probabilities)


def _numbers(info: PredictorInfo, found: Combined, calibration: Calibration, coverage: float) -> Columns:
    spread = np.zeros_like(found.outputs) if found.spread is None else found.spread
    widths = calibration.half_widths(coverage, spread)
    columns: Columns = {}
    for i, suffix in enumerate(suffixes(info.targets)):
        middle, width = found.outputs[:, i], widths[:, i]
        columns[f"prediction{suffix}"] = middle.astype(np.float32)
        columns[f"low{suffix}"] = _finite(middle - width)
        columns[f"high{suffix}"] = _finite(middle + width)
    return columns


def _finite(values: NDArray[np.floating]) -> Any:
    """float32, with nothing where there is no bound."""
    import pyarrow as pa  # heavy, and only a table needs it

    return pa.array(values.astype(np.float32), mask=~np.isfinite(values))


def _classes(info: PredictorInfo, probabilities: NDArray[np.float32]) -> Columns:
    best = probabilities.argmax(1)
    return {
        "prediction": [info.classes[i] for i in best],
        "probability": probabilities[np.arange(len(best)), best],
    } | {f"probability_{name}": probabilities[:, i] for i, name in enumerate(info.classes)}


def _labels(info: PredictorInfo, probabilities: NDArray[np.float32]) -> Columns:
    columns: Columns = {}
    for i, suffix in enumerate(suffixes(info.targets)):
        columns[f"prediction{suffix}"] = (probabilities[:, i] >= THRESHOLD).astype(np.int64)
        columns[f"probability{suffix}"] = probabilities[:, i]
    return columns


def _letters(
    info: PredictorInfo, probabilities: NDArray[np.float32], lengths: Sequence[int], *, with_lists: bool
) -> Columns:
    letters = np.array(info.classes)[probabilities.argmax(1)]
    ends = np.cumsum(lengths)[:-1]
    columns: Columns = {"prediction": ["".join(part) for part in np.split(letters, ends)]}
    if with_lists:
        for i, name in enumerate(info.classes):
            columns[f"probability_{name}"] = _lists(np.split(probabilities[:, i], ends))
    return columns


def _lists(parts: Sequence[NDArray[np.float32]]) -> Any:
    import pyarrow as pa  # heavy, and only a table needs it

    return pa.array(parts, pa.list_(pa.float32()))


def domain_columns(reasons: Sequence[tuple[str, ...]], distances: Floats | None) -> Columns:
    """``out_of_domain``: why a row is unlike those of training ("length distance"), empty where it is like
    them. ``distance``: in standard deviations, to the nearest row of training; empty where it is not known.
    """
    unknown = np.full(len(reasons), np.nan)
    return {
        "out_of_domain": [" ".join(of_row) for of_row in reasons],
        "distance": _finite(unknown if distances is None else distances),
    }


def suffixes(targets: Sequence[str]) -> list[str]:
    """What tells the columns of several targets apart."""
    return [f"_{target}" for target in targets] if len(targets) > 1 else [""]
