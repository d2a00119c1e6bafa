"""``evaluate``: scores against measurements, beside baselines."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np
from biofm_datasets import read_sequences
from biofm_datasets.columns import find_numeric_columns
from biofm_datasets.formats import is_table

from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.core import StageProgress, sha256_of
from biofm.core.choices import ON_ERROR, check_choice
from biofm.core.errors import InputError, OutputError, input_errors
from biofm.evaluation import Assay, EvaluateOptions, Evaluation, evaluate_assay, read_assay, scores_to_judge
from biofm.gate import Permit, ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.modalities import PROTEIN
from biofm.policy import Target
from biofm.report import ScatterPanel, check_figure_suffix, draw_scatter


def evaluate(
    table: str | Path,
    *,
    measured_column: str,
    score_column: str | Sequence[str],
    variant_column: str | None = None,
    mutated_column: str | None = None,
    wild_type: str | Path | None = None,
    binary_column: str | None = None,
    threshold: float | None = None,
    split_column: str | None = None,
    mean_rank: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    output: str | Path | None = None,
    picture: str | Path | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> Evaluation:
    """Judge columns of scores in a table (CSV, TSV, Parquet) against a column of measurements.

    Spearman, AUROC, NDCG and MCC with bootstrap intervals, of each score, with ``mean_rank`` of the mean of
    their ranks, and of baselines: BLOSUM62 and a ridge fitted to the measurements, as far as
    ``variant_column`` (A24G, A24G:T30P or p.Ala24Gly), ``mutated_column`` (whole sequences) and ``wild_type``
    (a FASTA file) tell the variants.
    Positive are the rows where ``binary_column`` is 1, or measurements at or above ``threshold``, or the
    median. With ``split_column``, of train and test, the ridge learns from the one and all is judged on the
    other; without, it predicts each fifth of the rows from the others.
    ``output`` takes the result as JSON.

    Raises InputError, OutputError, OptionError: each says what, where and what to do.
    """
    scores = (score_column,) if isinstance(score_column, str) else tuple(score_column)
    options = EvaluateOptions(
        measured_column=measured_column, score_columns=scores, variant_column=variant_column,
        mutated_column=mutated_column, binary_column=binary_column, threshold=threshold,
        split_column=split_column, with_mean=mean_rank, n_resamples=n_resamples, seed=seed,
    )  # fmt: skip
    check_choice("--on-error", on_error, ON_ERROR)
    source = path_of(table)
    if source == STANDARD_INPUT:
        raise InputError("a table cannot come through a pipe", where="-", remedy="Name a file")
    reads = {"table": (source,)} | ({} if wild_type is None else {"wild_type": (path_of(wild_type),)})
    request = request_of("evaluate", reads=reads, writes=_targets(output, picture, overwrite))
    notices: Counter[str] = Counter()
    with ask(request) as permit, StageProgress(quiet=quiet) as bar, input_errors():
        stream = permit.reader("table")
        sha256 = sha256_of([stream])
        _require_scores(stream, str(table), scores)
        protein = _read_wild_type(permit.reader("wild_type"), str(wild_type)) if wild_type else None
        assay = read_assay(stream, str(table), options, protein, notices, skip_faulty=on_error == "skip")
        found = evaluate_assay(assay, options, sha256, notices, bar.update)
        _write(found, assay, options, permit, output, picture)
    return found


def _targets(output: str | Path | None, picture: str | Path | None, overwrite: bool) -> dict[str, Target]:
    writes = {}
    if output:
        if Path(output).suffix.lower() != ".json":
            raise OutputError("the result is written as JSON", where=str(output), remedy="End in .json")
        writes["output"] = Target(path=Path(output), overwrite=overwrite)
    if picture:
        check_figure_suffix(Path(picture))
        writes["picture"] = Target(path=Path(picture), overwrite=overwrite)
    return writes


def _require_scores(stream: BinaryIO, name: str, scores: Sequence[str]) -> None:
    if not scores:
        names = find_numeric_columns(stream, name)
        here = f"Numeric columns are: {', '.join(names)}" if names else "No column is numeric"
        remedy = f"Name one or more with --score-column (in Python, score_column=). {here}"
        raise InputError("no column of scores was named", where=name, remedy=remedy)


def _read_wild_type(stream: BinaryIO, name: str) -> str:
    if is_table(name):
        what = "this is a table, where FASTA belongs"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    records = list(read_sequences(stream, name))
    if len(records) != 1:
        what = f"{len(records):,} sequences where one wild type belongs"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    return PROTEIN.clean(records[0], Counter(), gaps="refuse").sequence


def _write(
    found: Evaluation,
    assay: Assay,
    options: EvaluateOptions,
    permit: Permit,
    output: str | Path | None,
    picture: str | Path | None,
) -> None:
    if output:
        text = json.dumps(asdict(found), indent=2, allow_nan=False)
        permit.writer("output").write(text.encode() + b"\n")
    if picture:
        panels = []
        for name, values in scores_to_judge(assay, with_mean=options.with_mean).items():
            rows = assay.is_judged & ~np.isnan(values)
            spearman = found.row(name).spearman.value
            panels.append(ScatterPanel(name, values[rows], assay.measured[rows], spearman))
        draw_scatter(panels, found.measured, permit.writer("picture"), Path(picture).suffix)
