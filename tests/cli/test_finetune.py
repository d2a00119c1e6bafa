"""``biofm finetune`` end to end, as a person or a program runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from biofm.cli import app
from biofm.training import FinetuneRecipe
from tests.cli.tables import CELLS, CHOICE, FEW, FEW_STEPS, GOOD, oiliness, write


def test_a_person_gets_the_model_beside_every_baseline(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "full", *FEW_STEPS, "--learning-rate", "1e-9")
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "The task is regression, because 'y' holds numbers."
    assert lines[1].split("  ")[0] == "test (12 rows)"
    assert lines[1].split()[3:] == ["Spearman", "Pearson", "RMSE", "MAE", "R²"]
    names = [line.split("  ")[0] for line in lines[2:6]]
    assert names == ["full", "composition ridge", "k-mer ridge", "mean"]
    assert "[" in lines[2], "the interval of what they are compared by"
    assert "one-hot ridge: not computed, because the sequences are 12 to 24 residues long" in lines
    assert "Intervals that should contain 90% of the measured values contain" in outcome.out
    assert "In brackets: 95 % bootstrap interval over 12 rows, unreliable because over fewer" in outcome.out
    assert (
        "On the test rows, full fine-tuning predicts little more than the mean of the measured" in outcome.out
    )
    assert "By Spearman (12 rows), the baseline composition ridge (0.998) is " in outcome.out
    assert outcome.out.count("By Spearman (") == 1, "the best of them"
    assert "Fitted to 48 rows that train or validate: composition ridge, k-mer ridge, mean" in outcome.err
    assert "Trained 1 member from" in outcome.err


def test_json_stands_alone_on_standard_output_and_is_what_the_file_holds(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", CELLS["classification"])
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, "--json", *FEW)
    found = json.loads(outcome.out)
    assert found == json.loads(Path("run/evaluation.json").read_text())
    assert (found["task"], found["classes"]) == ("classification", ["oily", "other"])
    assert found["calibrated"]["error_before"] >= 0
    assert outcome.err == ""


def test_settings_come_from_a_file_from_options_and_by_name(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "lora", "--lora-rank", "2", *FEW_STEPS)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "first", *words).status == 0
    recipe = Path("first/recipe.toml").read_text()
    assert 'method = "lora"' in recipe
    assert "lora_rank = 2" in recipe
    others = ("--config", "first/recipe.toml", "--set", "lora_rank=3", "-m", tiny_esm2, *FEW)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "second", *others).status == 0
    assert Path("second/recipe.toml").read_text() == recipe.replace("lora_rank = 2", "lora_rank = 3")
    settings = json.loads(Path("second/predictor/members/seed-0/adapter_config.json").read_text())
    assert settings["r"] == 3


def test_merged_adapters_are_a_model_that_predicts_the_same(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "lora", "--learning-rate", "0.05", *FEW_STEPS)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "apart", *words).status == 0
    merged = biofm("finetune", "t.csv", *CHOICE, "-o", "merged", *words, "--set", "merge_adapters=true")
    assert merged.status == 0, merged.err
    apart, whole = (pd.read_csv(f"{run}/predictions.csv") for run in ("apart", "merged"))
    np.testing.assert_allclose(apart["prediction"], whole["prediction"], atol=1e-6)
    embed = ("embed", "t.csv", "--column", "sequence", "--dtype", "float32", "--quiet")
    assert biofm(*embed, "-o", "before.npz", "-m", tiny_esm2).status == 0
    after = biofm(*embed, "-o", "after.npz", "-m", "merged/predictor/members/seed-0")
    assert after.status == 0, after.err
    vectors = [np.load(f"{name}.npz")["embeddings"] for name in ("before", "after")]
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_folds_are_judged_out_of_fold_and_printed(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", CELLS["per-residue"], n=20)
    choice = ("--target", "y", "--column", "sequence")
    outcome = biofm("finetune", "t.csv", *choice, "-o", "run", "-m", tiny_esm2, "--folds", "2", *FEW)
    assert outcome.status == 0, outcome.err
    assert "out-of-fold (20 rows, " in outcome.out
    assert "window of 15 residues, logistic" in outcome.out
    assert len(list(Path("run/predictor/members").iterdir())) == 2


@pytest.fixture
def _short_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estimate looks at as little as it can."""
    monkeypatch.setattr("biofm.training.estimating.trial.SECONDS", 0.0)
    monkeypatch.setattr("biofm.inference.runs.estimate.SAMPLE_SECONDS", 0.0)


@pytest.mark.usefixtures("_short_sample")
@pytest.mark.parametrize("method", ["probe", "lora", "full"])
def test_an_estimate_counts_and_writes_nothing(
    method: str, biofm: Any, tiny_esm2: Path, tmp_path: Path
) -> None:
    write("t.csv", oiliness)
    before = sorted(tmp_path.iterdir())
    words = ("-m", tiny_esm2, "--method", method, "--members", "2", *FEW_STEPS, "--estimate", "--json")
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words)
    assert outcome.status == 0, outcome.err
    found = json.loads(outcome.out)
    assert (found["n_rows"], found["n_members"], found["method"]) == (60, 2, method)
    if method == "probe":
        assert found["training"] is None
        assert found["vectors"]["n_sequences"] == 60
        assert found["seconds"] == found["vectors"]["seconds"]
    else:
        assert found["vectors"] is None
        assert 0.8 * 4 * 256 < found["training"]["n_tokens"] <= 4 * 256
        assert found["seconds"] == 2 * found["training"]["seconds"]
        learns_all = found["training"]["n_trained"] == found["training"]["n_parameters"]
        assert learns_all == (method == "full")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("_short_sample")
def test_an_estimate_is_a_table(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "full", "--members", "2", *FEW_STEPS, "--estimate")
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words)
    assert outcome.status == 0, outcome.err
    rows = dict(line.split("  ", 1) for line in outcome.out.splitlines())
    assert rows["rows of the table"].strip() == "60"
    assert rows["members"].strip().startswith("2; what follows is for each")
    assert {"total time", "memory", "output", "--tokens-per-batch"} <= rows.keys()


# the table, what is said besides, what the message must say
WRONG: dict[str, tuple[str | None, tuple[str, ...], list[str]]] = {
    "a missing table": (None, (), ["t.csv", "no such file"]),
    "an empty table": ("", (), ["t.csv", "empty"]),
    "no such target": (GOOD, ("--target", "z"), ["'z'", "id, sequence, y, set"]),
    "the sequence as target": (GOOD, ("--target", "sequence"), ["--target", "'sequence' is also"]),
    "a faulty sequence": (GOOD + "x,MK7,0.5,train\n", (), ["t.csv", "record 19 (x)", "position 3"]),
    "no training rows": (GOOD.replace("train", "test"), (), ["0 different sequences"]),
    "one fold": (GOOD, ("--folds", "1"), ["--folds", "one fold leaves nothing"]),
    "more folds than rows": (GOOD, ("--folds", "99"), ["--folds", "at most 12"]),
    "an estimate of what is left": (GOOD, ("--estimate", "--resume"), ["--estimate", "--resume"]),
    "an estimate of a table that cannot teach": (
        GOOD.replace("train", "test"), ("--estimate",), ["0 different sequences"],
    ),
    "a setting that does not exist": (GOOD, ("--set", "lora_rnk=2"), ["lora_rnk", "lora_rank"]),
    "a configuration that is no TOML": (GOOD, ("--config", "t.csv"), ["t.csv", "not TOML"]),
    "a model that does not exist": (GOOD, ("-m", "esm9"), ["esm9", "no such model"]),
    "a device that does not exist": (GOOD, ("--device", "abacus"), ["--device", "abacus"]),
    "a probe that learns to pool": (GOOD, ("--pool", "attention"), ["--pool", "--method lora"]),
    "a probe whose adapters are to be merged": (
        GOOD, ("--set", "merge_adapters=true"), ["--set merge_adapters", "--method lora"],
    ),
    "a folder that does not exist": (GOOD, ("-o", "nowhere/run"), ["nowhere"]),
    "a folder with files": (GOOD, ("-o", "."), ["not empty", "Choose an empty or a new folder"]),
    "several devices for a probe": (GOOD, ("--devices", "2"), ["--devices", "fitted on one device"]),
    "batches that devices cannot share": (
        GOOD, ("--method", "full", "--devices", "3"), ["--batches-per-step", "Give a multiple of 3"]
    ),
    "a limit among numbers": (
        GOOD + "x,MKT,>10,train\n", (), ["line 20, column 'y'", "'>10' is no", "leave the cell empty"],
    ),
    "a comma among numbers": (GOOD + 'x,MKT,"1,5",train\n', (), ["line 20", "'1,5' is no", "point: 1.5"]),
    "a word among numbers": (GOOD + "x,MKT,n.d.,train\n", (), ["line 20", "'n.d.' is no number", "--task"]),
    "a truth among numbers": (GOOD + "x,MKT,no,train\n", (), ["line 20", "'no' is no number"]),
    "a number beyond float32": (GOOD + "x,MKT,1e39,train\n", (), ["line 20", "'1e39' is too large", "1e+30"]),
    "rows of two kinds": (GOOD + "x,MKT,high,train\n", ("--task", "regression"), ["line 20", "'high' is no"]),
}  # fmt: skip


def test_what_an_error_calls_an_option_is_one() -> None:
    commands: Any = get_command(app)
    there = {name for parameter in commands.commands["finetune"].params for name in parameter.opts}
    assert set(FinetuneRecipe.OPTIONS.values()) <= there


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_nothing_is_lost(
    wrong: str, biofm: Any, tmp_path: Path
) -> None:
    content, words, message = WRONG[wrong]
    if content is not None:
        Path("t.csv").write_text(content)
    choice = CHOICE if "--target" not in words else CHOICE[2:]
    output = () if "-o" in words else ("-o", "run")
    before = sorted(tmp_path.iterdir())
    biofm("finetune", "t.csv", *choice, *output, *words, *FEW).check_refusal(message)
    left = [path for path in sorted(tmp_path.iterdir()) if path not in before]
    assert left == [], "a refused run leaves nothing"


def test_a_pipe_is_refused(biofm: Any) -> None:
    outcome = biofm("finetune", "-", *CHOICE, "-o", "run")
    assert outcome.status == 1
    assert "cannot come through a pipe" in outcome.err


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_to_the_same_predictions(
    tiny_esm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes of their own: one is stopped by SIGTERM in its second member, in the midst of training."""
    program = """
import sys
from biofm.cli import main
from biofm.core import StageProgress

update = StageProgress.update

def pause(self, stage, done, total, *detail):
    update(self, stage, done, total, *detail)
    if stage.startswith("seed-1, training") and done == 2:
        print("there", flush=True)
        sys.stdin.readline()

StageProgress.update = pause
main()
"""
    monkeypatch.chdir(tmp_path)
    write("t.csv", oiliness)
    words = [
        "finetune", "t.csv", *CHOICE, "-m", str(tiny_esm2), "--method", "full", "--members", "2", *FEW_STEPS,
        "--steps", "6",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}

    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *arguments], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    stopped = start("-c", program, *words, "-o", "run")
    assert stopped.stdout is not None
    assert stopped.stdout.readline() == "there\n"
    stopped.send_signal(signal.SIGTERM)
    _, errors = stopped.communicate("\n")
    assert stopped.returncode == 143, errors
    assert "Repeat the command with --resume" in errors
    for arguments in (["-o", "run", "--resume"], ["-o", "whole"]):
        process = start("-m", "biofm.cli", *words, *arguments)
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        has_resumed = "Resumed: 1 of 2 members was already trained. The next one had made " in errors
        assert has_resumed == ("--resume" in arguments), errors
    assert Path("run/predictions.csv").read_text() == Path("whole/predictions.csv").read_text()
