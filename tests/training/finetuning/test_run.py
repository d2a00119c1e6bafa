"""Whole fine-tuning runs: their files, how they resume, and that their evaluation fits their files."""

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from biofm.core import BiofmError, OutputError
from biofm.inference import Compute, Embedder, EmbedOptions, choose_compute
from biofm.inference.prediction import (
    Branch,
    PredictorFiles,
    domain_columns,
    files_of_predictor,
    open_predictor,
    prediction_columns,
)
from biofm.modalities.protein import residues_of
from biofm.training.finetuning import Base, members
from biofm.training.finetuning.gradient import Trained, train_member
from biofm.training.finetuning.vectors import records_of
from tests.models.test_pickles import Malice
from tests.training.finetuning.conftest import MakeRecipe, MakeTable, Tune, read_text, write_table

TASKS = ["regression", "classification", "multi-label", "per-residue"]
QUICK = [*(("probe", task) for task in TASKS), ("lora", "regression"), ("full", "per-residue")]
CASES = [
    pytest.param(method, task, marks=() if (method, task) in QUICK else pytest.mark.slow)
    for method in ("probe", "lora", "full")
    for task in TASKS
]


def ask(folder: Path, base: Base, table: Any, rows: Any) -> dict[str, Any]:
    """Predict rows of a table with the written predictor, as ``biofm predict`` does."""
    paths = files_of_predictor(folder)
    opened = {path.relative_to(folder).as_posix(): path.open("rb") for path in paths}
    files = PredictorFiles(opened, str(folder))
    compute = choose_compute("cpu", files.info.dtype)
    predictor = open_predictor(files, base.checkpoint, compute, tokens_per_batch=64)
    proteins = predictor.embedder.tokenise(records_of(table, rows), Counter())
    parts = []
    assert predictor.domain is not None
    for part in predictor.stream(proteins):
        found = prediction_columns(
            files.info, part.found, part.lengths, predictor.calibration, 0.9, with_lists=False
        )
        reasons = predictor.domain.reasons([residues_of(item.text) for item in part.items], part.distances)
        parts.append(found | domain_columns(reasons, part.distances))
    for handle in opened.values():
        handle.close()
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


def assert_same(predictions: pd.DataFrame, found: dict[str, Any]) -> None:
    for name, values in found.items():
        if values.dtype.kind == "f":
            written = predictions[name].to_numpy(np.float64)
            np.testing.assert_allclose(written, values.astype(np.float64), atol=2e-5)
        else:
            assert predictions[name].fillna("").astype(str).tolist() == values.astype(str).tolist()


@pytest.mark.parametrize(("method", "task"), CASES)
def test_the_written_predictor_says_what_was_judged(
    task: str,
    method: str,
    make_table: MakeTable,
    make_recipe: MakeRecipe,
    tune: Tune,
    base: Base,
    tmp_path: Path,
) -> None:
    table = make_table(task)
    summary = tune(table, make_recipe(method=method))
    assert summary.predictor == str(tmp_path / "run" / "predictor")
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv", keep_default_na=task == "regression")
    rows = np.flatnonzero(table.roles == "test")
    assert predictions["id"].tolist() == [table.ids[row] for row in rows]
    assert set(predictions["set"]) == {"test"}
    assert_same(predictions, ask(tmp_path / "run" / "predictor", base, table, rows))


@pytest.mark.usefixtures("with_report")
def test_a_run_leaves_all_that_tells_of_it(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    summary = tune(make_table(), make_recipe(method="full"))
    run = tmp_path / "run"
    assert {path.name for path in run.iterdir()} == {
        "recipe.toml", "run.json", "members", "predictor", "predictions.csv",
        "predictions.csv.provenance.json", "evaluation.json", "report.html", "loss.png",
        "learning_rate.png", "speed.png", "use_of_the_machine.png", "memory.png",
    }  # fmt: skip
    evaluation = json.loads((run / "evaluation.json").read_text())
    rows = evaluation["judged"]["test"]["rows"]
    assert [row["name"] for row in rows] == ["full", "composition ridge", "k-mer ridge", "mean"]
    assert [row["kind"] for row in rows] == ["model", *["baseline"] * 3]
    assert rows[0]["measures"]["spearman"]["low"] <= rows[0]["measures"]["spearman"]["value"]
    assert "12 to 24" in evaluation["not_computed"]["one-hot ridge"]
    assert evaluation["primary"] == "spearman"
    assert summary.members["seed-0"]["n_train"] == 36
    assert (run / "members" / "seed-0" / "metrics.csv").read_text().count("\n") > 2
    assert not (run / "members" / "seed-0" / "checkpoints").exists(), "a member that is done needs none"
    predictor = json.loads((run / "predictor" / "predictor.json").read_text())
    assert (predictor["format"], predictor["version"]) == ("biofm predictor", 1)


def test_a_probe_of_an_ensemble_in_folds_judges_out_of_fold(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    table = make_table(n_rows=200, with_split=False)
    summary = tune(table, make_recipe(n_folds=3, n_members=2))
    assert list(summary.judged) == ["out-of-fold"]
    judged = summary.judged["out-of-fold"]
    assert judged.n_rows == 200
    spearman = {row.name: row.measures["spearman"].value for row in judged.rows}
    assert spearman["probe"] > 0.7, "each row has its own prediction"
    assert spearman["composition ridge"] > 0.95
    assert len(summary.members) == 6
    assert summary.calibrated == {}, "no row is left that neither trained nor calibrated"
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert predictions["id"].tolist() == table.ids
    widths = (predictions["high"] - predictions["low"]).round(6)
    assert widths.nunique() > 10, "intervals follow the ensemble's spread"
    truth = predictions["truth"]
    assert ((predictions["low"] <= truth) & (truth <= predictions["high"])).mean() >= 0.9


def test_an_ensemble_predicts_the_mean_of_its_members(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, base: Base, tmp_path: Path
) -> None:
    table = make_table(n_rows=40)
    rows = np.flatnonzero(table.roles == "test")
    tune(table, make_recipe(method="full", n_members=2))
    both = ask(tmp_path / "run" / "predictor", base, table, rows)["prediction"]
    alone = []
    for seed in (0, 1):
        tune(table, make_recipe(method="full", seed=seed), folder=f"seed-{seed}")
        alone.append(ask(tmp_path / f"seed-{seed}" / "predictor", base, table, rows)["prediction"])
    assert np.abs(alone[0] - alone[1]).max() > 1e-5
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, atol=1e-5)


def test_resuming_trains_only_what_is_not_done(
    make_table: MakeTable,
    make_recipe: MakeRecipe,
    tune: Tune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, recipe = make_table(n_rows=40, with_split=False), make_recipe(method="full", n_folds=3)
    trained: list[str] = []

    def stop_at_the_second(member: Any, compute: Compute, folder: Path, progress: Any) -> Any:
        trained.append(folder.name)
        if trained.count("fold-2-seed-0") == 1 and folder.name == "fold-2-seed-0":
            raise KeyboardInterrupt
        return train_member(member, compute, folder, progress)

    monkeypatch.setattr(members, "train_member", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        tune(table, recipe)
    assert not (tmp_path / "run" / "predictor" / "predictor.json").exists(), "it is no predictor yet"
    resumed = tune(table, recipe)
    assert trained == [f"fold-{i}-seed-0" for i in (1, 2, 2, 3)]
    whole = tune(table, recipe, folder="whole")
    assert resumed.judged == whole.judged
    read = [(tmp_path / folder / "predictions.csv").read_text() for folder in ("run", "whole")]
    assert read[0] == read[1]


def test_a_probe_that_was_interrupted_embeds_nothing_again(
    make_table: MakeTable,
    make_recipe: MakeRecipe,
    tune: Tune,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, recipe = make_table(n_rows=40, with_split=False), make_recipe(n_folds=3)
    stages: list[str] = []

    def watch(stage: str, done: int, total: int, detail: str = "") -> None:
        stages.append(stage)
        if (stage, done) == ("fitting", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(table, recipe, progress=watch)
    assert "embedding" in stages
    stages.clear()
    tune(table, recipe, progress=lambda stage, done, total, detail="": stages.append(stage))
    assert "embedding" not in stages
    assert not (tmp_path / "run" / "vectors.npy").exists()


@pytest.mark.parametrize("place", ["vectors.npy", "members/seed-0/checkpoints/step-000000001.ckpt/.metadata"])
def test_code_in_the_folder_of_a_run_does_not_run(
    place: str, make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    table, marker, file = make_table(), tmp_path / "it-ran", tmp_path / "run" / place
    recipe = make_recipe(method="probe" if place == "vectors.npy" else "full", n_steps=2)
    tune(table, recipe)
    (tmp_path / "run" / "members" / "seed-0" / "member.json").unlink()
    file.parent.mkdir(parents=True, exist_ok=True)
    if place == "vectors.npy":
        np.save(file, np.array([Malice(marker)]), allow_pickle=True)
    else:
        torch.save({"callbacks": {}}, file.with_name("meta.pt"))
        file.write_bytes(pickle.dumps(Malice(marker)))
    with pytest.raises(OutputError) as caught:
        tune(table, recipe)
    assert str(caught.value).startswith(f"{file}: ")
    assert not marker.exists()


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another setting": ({"seed": 1}, {}, r"differs in --seed\. "),
    "another table": ({}, {"sha256": "2"}, r"differs in the table\. "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_run_is_not_resumed(
    change: str, make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune
) -> None:
    settings, others, message = CHANGES[change]
    tune(make_table(), make_recipe())
    with pytest.raises(BiofmError, match=message):
        tune(make_table(), make_recipe(**settings), **others)
    tune(make_table(), make_recipe(n_resamples=5, coverage=0.8))


def test_files_of_others_are_left_alone(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("precious")
    with pytest.raises(BiofmError, match="no run that could be resumed"):
        tune(make_table(), make_recipe())
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_float16_trains_nothing(
    make_table: MakeTable, make_recipe: MakeRecipe, base: Base, tmp_path: Path
) -> None:
    from biofm.evaluation.supervised import LabelOptions
    from biofm.training.finetuning import Source, run_finetuning

    table = make_table()
    half = Compute(torch.device("cpu"), torch.float16, "as the test asks")
    source = Source(table, LabelOptions(column="sequence", targets=("y",)), "1")
    with pytest.raises(BiofmError, match=r"--dtype: float16 gradients vanish"):
        run_finetuning(source, base, make_recipe(method="full"), half, tmp_path, Counter(), lambda *it: None)


def test_what_calibrates_a_probe_has_not_seen_the_validation_rows(
    make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    answers = []
    for folder in ("before", "after"):
        table = make_table()
        if folder == "after":
            is_validation = table.roles == "validation"
            table.labels.values[is_validation] = 1 - table.labels.values[is_validation]
        tune(table, make_recipe(), folder=folder)
        answers.append(load_file(tmp_path / folder / "members" / "seed-0" / "outputs.safetensors"))
    before, after = answers
    np.testing.assert_array_equal(before["held_out"], after["held_out"])
    assert np.abs(before["test"] - after["test"]).max() > 1e-3, "in the end it learns from them too"


@pytest.mark.parametrize("method", ["probe", pytest.param("lora", marks=pytest.mark.slow), "full"])
def test_numbers_far_from_zero_are_predicted_where_they_are(
    method: str, make_table: MakeTable, make_recipe: MakeRecipe, tune: Tune
) -> None:
    table = make_table()
    table.labels.values[:] = 1000 + 50 * table.labels.values
    summary = tune(
        table, make_recipe(method=method, n_steps=20, learning_rate=0.05, validate_every=0, patience=0)
    )
    errors = {row.name: row.measures["rmse"].value for row in summary.judged["test"].rows}
    assert errors[method] < 1.5 * errors["mean"]


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_judged_is_what_was_trained(
    method: str, stored: torch.dtype, make_table: MakeTable, make_recipe: MakeRecipe, base: Base, tune: Tune,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The trained module with its adapters agrees with the files that are read again."""
    base.checkpoint.module.to(stored)
    trained: list[Trained] = []

    def train(*given: Any) -> Trained:
        trained.append(train_member(*given))
        return trained[-1]

    monkeypatch.setattr(members, "train_member", train)
    table = make_table()
    tune(table, make_recipe(method=method, learning_rate=0.02))
    rows = np.flatnonzero(table.roles == "test")
    compute = choose_compute("cpu", "float32")
    encoder, tokenizer = trained[0].checkpoint.module.encoder, base.checkpoint.tokenizer
    branch = Branch(Embedder(encoder, tokenizer, compute, EmbedOptions()), [trained[0].head])
    expected = branch.answer(records_of(table, rows), Counter()).outputs[:, 0]
    predictions = pd.read_csv(tmp_path / "run" / "predictions.csv")["prediction"]
    np.testing.assert_allclose(predictions, expected, rtol=0, atol=1e-6 * table.labels.numbers.std())


def test_the_area_of_classes_is_that_of_the_probabilities_in_the_file(
    make_recipe: MakeRecipe, tune: Tune, tmp_path: Path
) -> None:
    """For three classes, whose rows temperature scaling reorders, it agrees with scikit-learn."""
    lines = write_table("regression", 150, with_split=True).splitlines()
    cells = [line.split(",") for line in lines[1:]]
    names = [["low", "middle", "high"][int(3 * float(cell[2]) / 1.01 * 1.4) % 3] for cell in cells]
    text = "\n".join(
        [lines[0], *(f"{a},{b},{name},{d}" for (a, b, _, d), name in zip(cells, names, strict=True))]
    )
    summary = tune(read_text(text, "classification"), make_recipe(n_resamples=0))
    found = pd.read_csv(tmp_path / "run" / "predictions.csv")
    classes = sorted(set(found["truth"]))
    one_to_rest = [roc_auc_score(found["truth"] == it, found[f"probability_{it}"]) for it in classes]
    assert len(classes) == 3
    assert abs(summary.calibrated["temperatures"][0] - 1) > 0.01
    auroc = summary.judged["test"].rows[0].measures["auroc"].value
    assert auroc == pytest.approx(np.mean(one_to_rest), abs=1e-12)
