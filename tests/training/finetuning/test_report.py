"""Reports of fine-tuning: what they say, and that a run writes one."""

from pathlib import Path

import numpy as np
import pytest

from biofm.evaluation import IntervalEstimate
from biofm.evaluation.supervised import JudgedRow, Judgement
from biofm.report.run import Pairs, RunReport, Table
from biofm.training.finetuning.report import _called, say_if_little_was_learned, say_which_predicts_better
from biofm.training.reporting import write_run_report
from tests.report.run.conftest import Element, read_page
from tests.training.finetuning.conftest import LETTERS, MakeRecipe, MakeTable, Tune, read_text

pytestmark = pytest.mark.usefixtures("with_report")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    """Collect the reports that runs write."""
    found: list[RunReport] = []

    def write(report: RunReport, folder: Path) -> None:
        found.append(report)
        write_run_report(report, folder)

    monkeypatch.setattr("biofm.training.finetuning.run.write_run_report", write)
    return found


def page_in(folder: Path) -> Element:
    return read_page((folder / "report.html").read_text(encoding="utf-8"))


def column_of(table: Table, number: int) -> list[float]:
    return [float(row[number] or 0) for row in table.rows]


def test_a_run_by_gradients_leaves_its_page_with_curves_and_their_pictures(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    summary = tune(make_table(), make_recipe(method="full"))
    page = page_in(tmp_path / "run")
    assert page.all("h1")[0].text == "y of t.csv"
    told = page.all("p", class_="summary")[0].text
    assert told.startswith("All weights of it learned y from 36 rows, with 12 more for validation (")
    assert "baselines, which are fitted to 48 rows that train or validate." in told
    assert {path.name for path in (tmp_path / "run").glob("*.png")} >= {"loss.png", "learning_rate.png"}
    assert [item.text for item in page.all("figure")[0].all("li")] == ["training", "validation"]
    for row in summary.judged["test"].rows:
        value = row.measures["spearman"].value
        assert value is None or f"{value:z.3f}" in page.all("table")[0].text
    assert (
        "one-hot ridge (the sequences are 12 to 24 residues long" in page.all("section", id="results")[0].text
    )


def test_a_resumed_run_has_its_report_again(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    tune(make_table(), make_recipe(method="full"))
    (tmp_path / "run" / "report.html").unlink()
    tune(make_table(), make_recipe(method="full"))
    assert len(page_in(tmp_path / "run").all("svg", role="img")) >= 2


def test_a_regression_shows_predictions_beside_the_truth_and_where_targets_lie(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, written: list[RunReport]
) -> None:
    table = make_table()
    tune(table, make_recipe())
    (found,) = written
    assert [picture.caption for picture in found.pictures] == [
        "Predicted and measured values of the test rows."
    ]
    assert "y: Spearman " in found.pictures[0].description
    parts, targets, uncertainty, domain = found.data
    assert isinstance(parts, Table)
    assert isinstance(targets, Table)
    assert isinstance(uncertainty, Pairs)
    assert isinstance(domain, Pairs)
    assert [row[:2] for row in parts.rows] == [("training", 36), ("validation", 12), ("test", 12)]
    mean, spread = (column_of(targets, i)[0] for i in (3, 4))
    training = table.labels.numbers[table.roles == "train", 0]
    assert [mean, spread] == pytest.approx([training.mean(), training.std()])
    assert uncertainty.values["rows that calibrate"] == 12
    assert uncertainty.values["share of measured values that an interval should contain"] == "90%"
    seen = [len(it) for it, role in zip(table.sequences, table.roles, strict=True) if role != "test"]
    assert domain.values["residues of a training row"] == f"{min(seen)} to {max(seen)}"
    assert domain.values["letters of the training rows"] == "A C D E F G H I K L M N P Q R S T V W Y"
    assert domain.values["largest distance within the domain"] == "not judged"  # by 12 validation rows
    assert {"outside by length", "outside by letters"} <= domain.values.keys()
    assert "outside by distance" not in domain.values
    assert found.curves == ()
    assert set(found.configuration) == {
        "seed", "method", "task", "pool", "window", "test_share", "validation_share", "n_folds", "n_members",
        "coverage", "n_resamples",
    }  # fmt: skip


@pytest.mark.parametrize("task", ["classification", "per-residue"])
def test_classes_are_counted_and_shown_as_they_were_taken(
    task: str, make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, written: list[RunReport]
) -> None:
    table = make_table(task)
    tune(table, make_recipe())
    (found,) = written
    _, classes, uncertainty, _ = found.data
    assert isinstance(classes, Table)
    assert isinstance(uncertainty, Pairs)
    assert [row[0] for row in classes.rows] == list(table.labels.classes)
    training = [it for it, role in zip(table.sequences, table.roles, strict=True) if role == "train"]
    n_labels = len(training) if task == "classification" else sum(map(len, training))
    assert sum(column_of(classes, 1)) == n_labels
    assert "of the predictions are right" in found.pictures[0].description
    assert "calibration error after temperature scaling" in uncertainty.values


def test_several_members_and_targets_are_compared(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, written: list[RunReport]
) -> None:
    tune(make_table("multi-label", with_split=False), make_recipe(method="lora", n_folds=3, n_members=2))
    (found,) = written
    assert [curves.title for curves in found.curves] == ["Validation loss", "Training loss"]
    assert [series.name for series in found.curves[0].series][:2] == ["fold-1-seed-0", "fold-1-seed-1"]
    assert found.curves[0].note == "The first 5 of 6 members."
    whole, by_target = found.results
    assert [measure.name for measure in whole.measures] == ["AUROC", "AUPRC"]
    assert [measure.name for measure in by_target.measures] == ["AUROC of a", "AUROC of b"]
    assert whole.contenders[0].name == "LoRA"
    assert not by_target.has_comparison
    assert found.pictures == ()
    parts = found.data[0]
    assert isinstance(parts, Table)
    assert parts.rows[0][0] == "training of fold 1 of 3"


def test_a_model_that_learned_nothing_says_so_beside_its_headline(
    make_recipe: MakeRecipe, tune: Tune, written: list[RunReport]
) -> None:
    rng = np.random.default_rng(7)
    sets = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    lines = [f"p{i},{''.join(rng.choice(LETTERS, 15))},{rng.normal():.3f},{sets[i % 10]}" for i in range(100)]
    summary = tune(read_text("\n".join(["id,sequence,y,set", *lines])), make_recipe())
    r2 = summary.judged["test"].rows[0].measures["r2"].value
    assert r2 is not None
    assert r2 <= 0, "noise was learned"
    said = say_if_little_was_learned("test", summary.judged["test"])
    assert said == (
        "On the test rows, the probe predicts little more than the mean of the measured values "
        f"(R² {r2:z.3f}), whatever its rank correlation."
    )
    (found,) = written
    assert found.summary.endswith(said)
    assert {it.name: it.may_be_best for it in found.results[0].contenders}["the probe"] is False


@pytest.mark.parametrize(("measure", "value"), [("r2", 0.01), ("r2", None), ("mcc", -0.1)])
def test_a_model_that_learned_something_has_no_such_sentence(measure: str, value: float | None) -> None:
    measures = {measure: IntervalEstimate(value=value)}
    row = JudgedRow(name="probe", kind="model", fitted="", measures=measures)
    assert say_if_little_was_learned("test", Judgement(n_rows=9, n_residues=None, rows=[row], leads=[])) == ""


def test_differences_from_the_same_resamples_reach_the_page(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, written: list[RunReport], tmp_path: Path
) -> None:
    summary = tune(make_table(n_rows=100), make_recipe())
    (results,) = written[0].results
    leads = {lead.baseline: lead.difference for lead in summary.judged["test"].leads}
    assert results.differences == leads
    comparisons = page_in(tmp_path / "run").all("ul", class_="comparisons")[0].text
    assert "better (95 % interval " in comparisons
    assert say_which_predicts_better(summary.judged["test"], summary.primary) in comparisons, (
        "the command says it"
    )


def test_a_model_is_called_without_the_folders_that_lead_to_it() -> None:
    assert _called("/data/ada/my-model") == "my-model"
    assert _called("facebook/esm2_t6_8M_UR50D") == "facebook/esm2_t6_8M_UR50D"
