"""Predictions as a table: this module makes its columns, streams records into it, and sums up a run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypedDict

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.tables import RENAMED, Table, kept_apart
from biofm.evaluation import THRESHOLD, Calibration
from biofm.inference import EMPTY_ROWS, emptied, reasons
from biofm.inference.prediction.domain import DomainTally
from biofm.inference.prediction.files import PredictorInfo
from biofm.inference.prediction.predictor import Combined, Predictor
from biofm.inference.prediction.trust import Remark
from biofm.inference.runs import Intake
from biofm.modalities import columns_of

UNBOUNDED = "predictions without an interval, because too few rows calibrated the predictor for this coverage"

Columns = dict[str, Any]
"""Columns by name, each with one value for each sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSummary:
    """Tells what a run of ``predict`` did; the predictions are in the file ``output``.

    Attributes:
        output: The path of the file.
        task: The kind of labels that the predictor predicts.
        targets: The names of the predicted columns.
        n_members: How many members the predictor has.
        n_sequences: How many sequences the input has.
        n_residues: How many residues these have together.
        n_tokens: How many tokens the models processed.
        seconds: How long the run took.
        tokens_per_second: The speed of the run.
        dtype_reason: Why the models ran in their dtype, in words.
        provenance: How the predictions were made.
        notices: What was changed or left out, as a phrase and how often it happened.
        remarks: How far the predictions can be trusted, in sentences.
        domain: How many rows are out of the domain of training, by reason. It is empty for a predictor of an
            earlier version of biofm.
    """

    output: str
    task: str
    targets: tuple[str, ...]
    n_members: int
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float
    dtype_reason: str
    provenance: Mapping[str, Any]
    notices: Mapping[str, int]
    remarks: tuple[Remark, ...]
    domain: Mapping[str, int]


class PredictionTally(TypedDict):
    """Holds the counts of a run, and its speed."""

    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float


def write_predictions(
    intake: Intake,
    predictor: Predictor,
    coverage: float,
    table: Table,
    notices: Counter[str],
    progress: Progress,
    *,
    with_lists: bool,
) -> tuple[PredictionTally, DomainTally]:
    """Predict the records of an input, write the predictions into a table, and close it.

    Other columns of the input stand behind the column ``record``. Where the predictor was opened with
    ``on_error`` "skip", a protein for which the model's numbers are not finite has an empty row, and a last
    column, ``reason``, says why.

    Args:
        intake: The records of the input.
        predictor: The predictor.
        coverage: The share of true values, between 0 and 1, that the intervals should contain.
        table: The opened output.
        notices: Counts what a reader of the table should know.
        progress: Shows how far the run is.
        with_lists: Whether labels per residue also get lists of probabilities, which only Parquet can hold.

    Returns:
        The counts of the run, and those of rows out of the domain.

    Raises:
        InputError: A record is at fault.
        ModelError: The numbers of a protein are not finite, and ``on_error`` is "stop".
        OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too large
            for the memory.
    """
    began = perf_counter()
    counts: Counter[str] = Counter()
    n_branches = len(predictor.branches)

    def on_batch(n_tokens: int, n_residues: int) -> None:
        counts.update(tokens=n_tokens, passed=n_residues)
        fraction = intake.share_of(counts["passed"] / n_branches)
        progress.update(tokens=counts["tokens"], fraction=fraction)

    domain, tally = predictor.domain, DomainTally()
    units = predictor.embedder.tokenizer.modality.units
    items = predictor.embedder.tokenise(intake, notices)
    for part in predictor.stream(items, on_batch):
        columns = prediction_columns(
            predictor.info, part.found, part.lengths, predictor.calibration, coverage, with_lists=with_lists
        )
        if "low" in columns:
            notices[UNBOUNDED] += columns["low"].null_count
        if domain is not None:
            found = domain.reasons([units(item.text) for item in part.items], part.distances)
            columns |= domain_columns(found, part.distances)
            tally.add([found[row] for row in np.flatnonzero(~part.are_empty)])
        columns = emptied(columns, part.are_empty)
        notices[EMPTY_ROWS] += int(part.are_empty.sum())
        why = reasons(part.are_empty, predictor.embedder.dtype, predictor.embedder.options.on_error)
        ids = [item.id for item in part.items]
        which = {"id": ids, "record": [item.record for item in part.items]}
        columns = {"n_residues": part.lengths, **columns, **why}
        others = columns_of(part.items)
        apart = kept_apart(others, which | columns)
        notices[RENAMED] = sum(name not in apart for name in others)
        table.append({**which, **apart, **columns})
        counts.update(sequences=len(ids), residues=sum(part.lengths))
    table.close()
    seconds = perf_counter() - began
    summary = PredictionTally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
    return summary, tally


def prediction_columns(
    info: PredictorInfo,
    found: Combined,
    lengths: Sequence[int],
    calibration: Calibration,
    coverage: float,
    *,
    with_lists: bool,
) -> Columns:
    """Make the columns of predictions, which depend on the task.

    - regression: ``prediction``, ``low`` and ``high``; the bounds are empty where too few rows calibrated
      them.
    - classification: ``prediction``, ``probability``, and the probability of each class.
    - multi-label: ``prediction`` (1 where the probability is a half or more) and ``probability``.
    - per-residue: ``prediction``, a text of letters, and, ``with_lists``, a list for each letter of its
      probability at every residue.

    Where there are several targets, their names are added to the names of the columns.

    Args:
        info: What the predictor's file says about it.
        found: The combined outputs of the members.
        lengths: The lengths of the sequences in residues.
        calibration: Turns outputs into intervals and probabilities.
        coverage: The share of true values, between 0 and 1, that the intervals should contain.
        with_lists: Whether labels per residue also get lists of probabilities.
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
    """Return the values as float32, empty where they are not finite."""
    import pyarrow as pa  # slow to import, and only needed for a table

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
    import pyarrow as pa  # slow to import, and only needed for a table

    return pa.array(parts, pa.list_(pa.float32()))


def domain_columns(reasons: Sequence[tuple[str, ...]], distances: Floats | None) -> Columns:
    """Make the two columns that compare each row with the rows of training.

    ``out_of_domain`` names why a row is unlike them, such as "length distance"; it is an empty text where it
    is like them. ``distance`` is the distance to the nearest training row in standard deviations, empty where
    it is unknown.

    Args:
        reasons: Why each row is out of the domain.
        distances: The distance of each row to the nearest training row; None where it is unknown.
    """
    unknown = np.full(len(reasons), np.nan)
    return {
        "out_of_domain": [" ".join(of_row) for of_row in reasons],
        "distance": _finite(unknown if distances is None else distances),
    }


def suffixes(targets: Sequence[str]) -> list[str]:
    """Return what is added to the names of columns: each target's name if there are several, else nothing.

    Args:
        targets: The names of the predicted columns.
    """
    return [f"_{target}" for target in targets] if len(targets) > 1 else [""]
