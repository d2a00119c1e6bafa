"""What a fine-tuning leaves: its predictor, the predictions of all judged rows, and how good they are."""

import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from biofm.core.outputs import provenance_path
from biofm.core.tables import open_table
from biofm.evaluation import Calibration
from biofm.evaluation.supervised import LabelledTable, Labels
from biofm.inference.prediction import Domain, PredictorInfo
from biofm.inference.prediction.columns import columns_of, domain_columns, suffixes
from biofm.inference.prediction.files import CALIBRATION_FILE, DISTANCES, SCORES, TESTED
from biofm.inference.prediction.info import FILE, write_info
from biofm.training.files import written_whole
from biofm.training.finetuning.judging import Findings
from biofm.training.finetuning.plan import TEST_ROWS, Plan
from biofm.training.finetuning.summary import FinetuneSummary

UNKNOWN_LETTER = "?"


def write_predictor(folder: Path, info: PredictorInfo, calibration: Calibration, domain: Domain) -> None:
    """``predictor.json`` comes last: it makes the folder, which holds the members already, a predictor."""
    arrays = {DISTANCES: domain.distances}
    for i, one in enumerate(calibration.intervals):
        arrays |= {f"{SCORES}{i}": one.scores}
        arrays |= {} if one.tested is None else {f"{TESTED}{i}": one.tested}
    with written_whole(folder / CALIBRATION_FILE) as file:
        file.write(safetensors.numpy.save(arrays))
    info = replace(
        info,
        temperatures=calibration.temperatures,
        spreads=tuple(one.spread for one in calibration.intervals),
        n_calibrated=calibration.n,
        promise=calibration.promise,
        training=domain.training,
    )
    with written_whole(folder / FILE) as file:
        file.write(write_info(info))


def write_predictions(
    folder: Path, table: LabelledTable, info: PredictorInfo, plan: Plan, findings: Findings, coverage: float
) -> None:
    """``predictions.csv``: the id, the set and the truth of every judged row, and the columns of ``biofm
    predict``.
    """
    path = folder / "predictions.csv"
    beside = provenance_path(path)
    assert beside is not None, "a CSV has its provenance beside it"
    provenance = {"predictor": "predictor", "model": info.model, "sha256": info.sha256, "coverage": coverage}
    with ExitStack() as opened:
        handles = [opened.enter_context(written_whole(one)) for one in (path, beside)]
        output = open_table(handles[0], path.suffix, provenance, handles[1])
        for name, found in findings.answers.items():
            rows = plan.judged[name].rows
            labels = table.labels.take(rows)
            lengths = [1] * len(rows) if labels.offsets is None else labels.lengths.tolist()
            columns = {
                "id": [table.ids[row] for row in rows],
                "set": [name] * len(rows),
                **_truth(labels),
                **columns_of(info, found, lengths, findings.calibration, coverage, with_lists=False),
                **_domain(table, rows, findings, name),
            }
            output.append(columns)
        output.close()


def write_evaluation(folder: Path, summary: FinetuneSummary) -> None:
    with written_whole(folder / "evaluation.json") as file:
        file.write(json.dumps(asdict(summary), indent=2, allow_nan=False).encode() + b"\n")


def _domain(table: LabelledTable, rows: NDArray[np.int64], findings: Findings, name: str) -> dict[str, Any]:
    """Of rows out of fold, which trained other members, no distance is known."""
    distances = findings.distances if name == TEST_ROWS else None
    reasons = findings.domain.reasons([table.units(row) for row in rows], distances)
    return domain_columns(reasons, distances)


def _truth(labels: Labels) -> dict[str, list[Any]]:
    if labels.task == "per-residue":
        assert labels.offsets is not None
        letters = np.array([*labels.classes, UNKNOWN_LETTER])[labels.codes]  # UNKNOWN is the last one
        return {"truth": ["".join(part) for part in np.split(letters, labels.offsets[1:-1])]}
    if labels.classes:
        return {"truth": [labels.classes[code] for code in labels.codes]}
    columns = zip(suffixes(labels.targets), labels.numbers.T, strict=True)
    return {f"truth{suffix}": _known(values) for suffix, values in columns}


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
