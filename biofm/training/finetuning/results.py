"""Results of a fine-tuning: the run writes a summary, a predictor and the predictions of all judged rows."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from biofm.core.outputs import provenance_path
from biofm.core.tables import open_table
from biofm.evaluation.supervised import PRIMARY, Judgement, LabelledTable, Labels
from biofm.inference.prediction import (
    PREDICTOR_FILE,
    Remark,
    domain_columns,
    prediction_columns,
    remark_domain,
    remark_promises,
    suffixes,
    write_info,
)
from biofm.inference.prediction.files import CALIBRATION_FILE, DISTANCES, SCORES, TESTED
from biofm.training.finetuning.findings import Findings, note_findings
from biofm.training.finetuning.members import FinetuneRun
from biofm.training.finetuning.plan import TEST_ROWS
from biofm.training.folder import EVALUATION, written_whole

UNKNOWN_LETTER = "?"  # stands for a residue whose class is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSummary:
    """Holds the results of a fine-tuning.

    Attributes:
        predictor: The folder of the predictor.
        model: The name of the model that was fine-tuned.
        method: The method of the recipe.
        task: What the predictor predicts.
        why: Why this task was chosen.
        targets: The names of the targets.
        classes: The names of the classes; empty for numbers.
        primary: The metric by which the model and the baselines are compared.
        dtype: The number format of the products.
        dtype_reason: Why this format was chosen.
        judged: The evaluation of the model and its baselines, by the name of the rows, "test" or
            "out-of-fold".
        calibrated: How well intervals or probabilities did on the test set; empty without one.
        domain: What the training rows are like, and how many test rows are unlike them.
        remarks: Sentences that ``biofm predict`` will show on this, each with whether it is a warning.
        not_computed: The baselines that are missing, each with the reason.
        members: How each member was trained.
        notices: Sentences on what was changed or left out, each with its count.
    """

    predictor: str
    model: str
    method: str
    task: str
    why: str
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    primary: str
    dtype: str
    dtype_reason: str
    judged: dict[str, Judgement]
    calibrated: dict[str, Any]
    domain: dict[str, Any]
    remarks: tuple[Remark, ...]
    not_computed: dict[str, str]
    members: dict[str, dict[str, Any]]
    notices: dict[str, int]


def summarise(
    run: FinetuneRun, findings: Findings, reports: dict[str, dict[str, Any]], notices: Mapping[str, int]
) -> FinetuneSummary:
    """Sum up a run. ``reports`` says how each member was trained."""
    info, domain, test = run.info, findings.domain, [run.table.units(row) for row in run.plan.test]
    tally = domain.tally(test, findings.distances)
    about = {"training": asdict(domain.training), "n_calibrated": domain.n_calibrated, "test": tally.counts()}
    remarks = remark_promises(findings.calibration, info.targets, run.recipe.coverage)
    noted = {**notices, **note_findings(run, findings)}
    remarks += remark_domain(domain, tally, "test row") if test else []
    return FinetuneSummary(
        predictor=str(run.predictor),
        model=info.model,
        method=info.method,
        task=info.task,
        why=run.table.why,
        targets=info.targets,
        classes=info.classes,
        primary=PRIMARY[info.task],
        dtype=run.compute.dtype_name,
        dtype_reason=run.compute.reason,
        judged=findings.judgements,
        calibrated=findings.calibrated,
        domain=about | {"limit": domain.limit if domain.has_distance else None},
        remarks=tuple(remarks),
        not_computed=findings.missing,
        members=reports,
        notices={sentence: count for sentence, count in noted.items() if count},
    )


def write_predictor(run: FinetuneRun, findings: Findings) -> None:
    """Write the calibration and, last of all, ``predictor.json``, which makes the folder a predictor."""
    folder, calibration = run.predictor, findings.calibration
    arrays = {DISTANCES: findings.domain.distances}
    for i, one in enumerate(calibration.intervals):
        arrays |= {f"{SCORES}{i}": one.scores}
        arrays |= {} if one.tested is None else {f"{TESTED}{i}": one.tested}
    with written_whole(folder / CALIBRATION_FILE) as file:
        file.write(safetensors.numpy.save(arrays))
    info = replace(
        run.info,
        temperatures=calibration.temperatures,
        spreads=tuple(one.spread for one in calibration.intervals),
        n_calibrated=calibration.n,
        promise=calibration.promise,
        training=findings.domain.training,
    )
    with written_whole(folder / PREDICTOR_FILE) as file:
        file.write(write_info(info))


def write_judged_predictions(run: FinetuneRun, findings: Findings) -> None:
    """Write ``predictions.csv``, with a row for every judged row of the table.

    Its columns are the id, the set, the measured value or class, and those of ``biofm predict``.
    """
    table, info, coverage = run.table, run.info, run.recipe.coverage
    path = run.folder / "predictions.csv"
    beside = provenance_path(path)
    assert beside is not None, "a CSV has its provenance beside it"
    provenance = {"predictor": "predictor", "model": info.model, "sha256": info.sha256, "coverage": coverage}
    with ExitStack() as opened:
        handles = [opened.enter_context(written_whole(one)) for one in (path, beside)]
        output = open_table(handles[0], path.suffix, provenance, handles[1])
        for name, found in findings.answers.items():
            rows = run.plan.judged[name].rows
            labels = table.labels.take(rows)
            lengths = [1] * len(rows) if labels.offsets is None else labels.lengths.tolist()
            columns = {
                "id": [table.ids[row] for row in rows],
                "set": [name] * len(rows),
                **_truth(labels),
                **prediction_columns(info, found, lengths, findings.calibration, coverage, with_lists=False),
                **_domain(table, rows, findings, name),
            }
            output.append(columns)
        output.close()


def write_evaluation(folder: Path, summary: FinetuneSummary) -> None:
    """Write the summary as ``evaluation.json``."""
    with written_whole(folder / EVALUATION) as file:
        file.write(json.dumps(asdict(summary), indent=2, allow_nan=False).encode() + b"\n")


def _domain(table: LabelledTable, rows: NDArray[np.int64], findings: Findings, name: str) -> dict[str, Any]:
    """Return the columns that say whether a row lies in the domain.

    Out-of-fold rows have no distance, because they trained other members.
    """
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
