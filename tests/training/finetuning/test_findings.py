"""Findings: predictions without a difference and intervals that are missing become notices."""

import json
from pathlib import Path

import numpy as np
import pytest

from biofm.training.finetuning.findings import describe_flat
from tests.report.run.conftest import read_page
from tests.training.finetuning.conftest import MakeRecipe, MakeTable, Tune, read_text

NO_INTERVALS = (
    "There are no intervals with a coverage of 90%: too few rows calibrate them (6 rows, and at least 9 are "
    "needed)."
)


@pytest.mark.usefixtures("with_report")
def test_missing_intervals_are_a_notice_of_the_summary_the_file_and_the_report(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    summary = tune(make_table(n_rows=30), make_recipe())
    assert summary.notices == {NO_INTERVALS: 1}
    run = tmp_path / "run"
    assert json.loads((run / "evaluation.json").read_text())["notices"] == {NO_INTERVALS: 1}
    page = read_page((run / "report.html").read_text(encoding="utf-8"))
    assert [item.text for item in page.all("ul", class_="notices")[0].all("li")] == [NO_INTERVALS]


@pytest.mark.parametrize(
    ("coverage", "n_validation"), [(0.9, 9), (0.5, 1), (0.8, 4), (0.95, 19), (0.99, 99), (0.1, 1)]
)
def test_intervals_need_no_more_rows_than_is_said(coverage: float, n_validation: int) -> None:
    from biofm.evaluation.calibration import Intervals

    def width(n: int) -> float:
        return float(Intervals(scores=np.arange(1.0, n + 1)).half_width(coverage, np.zeros(1))[0])

    assert Intervals(scores=np.empty(0)).n_needed(coverage) == n_validation
    assert np.isfinite(width(n_validation))
    assert np.isinf(width(n_validation - 1))


def test_predictions_that_hardly_differ_are_named_with_both_spreads() -> None:
    text = "sequence,y\n" + "".join(f"MK{letter},{i % 2}.1\n" for i, letter in enumerate("ACDEFGHI"))
    labels = read_text(text).labels
    outputs = 0.3 + np.array([[0.00003], [-0.00003]] * 4)
    (said,) = describe_flat(labels, outputs, "test")
    assert said == (
        "The predictions are nearly the same for every test row (standard deviation 0.00003, of the measured "
        "values 0.5): the model learned almost nothing, even if its rank correlation is high."
    )
    assert describe_flat(labels, np.full((8, 1), 0.25), "test")[0].count("standard deviation 0,") == 1
    assert describe_flat(labels, 100 * outputs, "test") == []


def test_only_the_targets_that_hardly_differ_are_named() -> None:
    text = "sequence,a,b\n" + "".join(f"MK{letter},{i}.1,{i}.2\n" for i, letter in enumerate("ACDEFGHI"))
    labels = read_text(text).labels
    outputs = np.stack([np.arange(8.0), np.full(8, 3.0)], axis=1)
    (said,) = describe_flat(labels, outputs, "out-of-fold")
    assert said.startswith("The predictions of 'b' are nearly the same for every out-of-fold row (")


def test_a_flat_run_says_so(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofm.training.finetuning.findings.LEAST_SPREAD", 1e9)
    (notice,) = tune(make_table(), make_recipe()).notices
    assert notice.startswith("The predictions are nearly the same for every test row (")
