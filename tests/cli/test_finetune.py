"""``biofm finetune`` and ``biofm predict`` end to end, as a person or a program runs them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from biofm.core.tables import SUFFIXES

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
OILY = set("AFILMVW")
FEW = ("--set", "n_resamples=20", "--dtype", "float32", "--quiet")
FEW_STEPS = (
    "--steps", "4", "--tokens-per-batch", "256", "--set", "n_warmup=1", "--set", "validate_every=2",
    "--set", "checkpoint_every=1", *FEW,
)  # fmt: skip


def sequences(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(LETTERS, rng.integers(12, 25))) for _ in range(n)]


def oiliness(sequence: str) -> float:
    return sum(letter in OILY for letter in sequence) / len(sequence)


def write(path: str, cells: Any, n: int = 60) -> None:
    sets = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    rows = [f"p{i},{one},{cells(one)},{sets[i % 10]}" for i, one in enumerate(sequences(n))]
    Path(path).write_text("id,sequence,y,set\n" + "\n".join(rows) + "\n")


CHOICE = ("--target", "y", "--column", "sequence", "--split-column", "set")
CELLS: dict[str, Any] = {
    "regression": oiliness,
    "classification": lambda one: "oily" if oiliness(one) > 0.36 else "other",
    "per-residue": lambda one: "".join("o" if letter in OILY else "-" for letter in one),
}


def test_a_person_gets_the_model_beside_every_baseline(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "full", *FEW_STEPS, "--learning-rate", "1e-9")
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "regression, because 'y' holds numbers"
    assert lines[1].split("  ")[0] == "test (12 rows)"
    assert lines[1].split()[3:] == ["Spearman", "Pearson", "RMSE", "MAE", "R²"]
    names = [line.split("  ")[0] for line in lines[2:6]]
    assert names == ["full", "composition ridge", "k-mer ridge", "mean"]
    assert "[" in lines[2], "the interval of what they are compared by"
    assert "one-hot ridge: not computed, because the sequences are 12 to 24 residues long" in lines
    assert "intervals that are to hold 90% hold" in outcome.out
    assert "composition ridge beats the model (full) by Spearman: 0.998 against" in outcome.out
    assert outcome.out.count("beats the model") == 1, "the best of them"
    assert "fitted to 48 rows that train or validate: composition ridge, k-mer ridge, mean" in outcome.err
    assert "1 trained from" in outcome.err


def test_json_stands_alone_on_standard_output_and_is_what_the_file_holds(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", CELLS["classification"])
    outcome = biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, "--json", *FEW)
    found = json.loads(outcome.out)
    assert found == json.loads(Path("run/evaluation.json").read_text())
    assert (found["task"], found["classes"]) == ("classification", ["oily", "other"])
    assert found["calibrated"]["error_before"] >= 0
    assert outcome.err == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("task", CELLS)
def test_predict_says_of_a_row_what_the_run_judged(
    task: str, suffix: str, biofm: Any, tiny_esm2: Path
) -> None:
    write("t.csv", CELLS[task])
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    judged = pd.read_csv("run/predictions.csv", keep_default_na=False)
    rows = pd.read_csv("t.csv", keep_default_na=False).query("set == 'test'")
    Path("new.fasta").write_text("".join(f">{row.id}\n{row.sequence}\n" for row in rows.itertuples()))
    words = ("predict", "new.fasta", "-p", "run/predictor", "-o", f"found{suffix}", "--json")
    outcome = biofm(*words)
    assert outcome.status == 0, outcome.err
    summary = json.loads(outcome.out)
    assert (summary["task"], summary["n_sequences"], summary["n_members"]) == (task, 12, 1)
    delimiter = {".csv": ",", ".tsv": "\t"}.get(suffix)
    path = f"found{suffix}"
    found = pd.read_csv(path, sep=delimiter, keep_default_na=False) if delimiter else pd.read_parquet(path)
    assert found["id"].tolist() == judged["id"].tolist()
    assert found["n_residues"].tolist() == [len(one) for one in rows.sequence]
    if task == "regression":
        for name in ("prediction", "low", "high"):
            np.testing.assert_allclose(found[name].astype(float), judged[name].astype(float), atol=1e-5)
    else:
        assert found["prediction"].tolist() == judged["prediction"].tolist()
    if task == "per-residue" and not delimiter:
        assert found["probability_o"].map(len).tolist() == found["n_residues"].tolist()


def test_what_is_predicted_depends_on_nothing_beside_it(biofm: Any, tiny_esm2: Path) -> None:
    """One at a time, all together, in small batches, twice over, and backwards."""
    write("t.csv", oiliness)
    words = ("-m", tiny_esm2, "--method", "full", "--pool", "attention", *FEW_STEPS)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", *words).status == 0
    new = [*sequences(9, seed=5), "M" * 300]
    orders = {"all": new, "twice": [*new, *new], "backwards": new[::-1], "one": new[3:4]}
    found = {}
    for name, some in orders.items():
        Path(f"{name}.fasta").write_text("".join(f">p{i}\n{one}\n" for i, one in enumerate(some)))
        few = ("--tokens-per-batch", "40") if name == "backwards" else ()
        outcome = biofm("predict", f"{name}.fasta", "-p", "run/predictor", "-o", f"{name}.csv", *few)
        assert outcome.status == 0, outcome.err
        found[name] = pd.read_csv(f"{name}.csv")["prediction"].to_numpy()
    whole = found["all"]
    np.testing.assert_allclose(found["twice"], [*whole, *whole], atol=1e-6)
    np.testing.assert_allclose(found["backwards"], whole[::-1], atol=1e-6)
    np.testing.assert_allclose(found["one"], whole[3:4], atol=1e-6)


def test_intervals_widen_with_the_coverage_and_end_where_no_row_can_promise_it(
    biofm: Any, tiny_esm2: Path
) -> None:
    write("t.csv", oiliness)
    assert biofm("finetune", "t.csv", *CHOICE, "-o", "run", "-m", tiny_esm2, *FEW).status == 0
    Path("new.fasta").write_text(">a\nMKTAYIAK\n>b\nWWWW\n")
    widths = []
    for coverage in ("0.5", "0.9", "0.99"):
        words = ("-p", "run/predictor", "-o", f"{coverage}.csv", "--coverage", coverage)
        outcome = biofm("predict", "new.fasta", *words)
        table = pd.read_csv(f"{coverage}.csv")
        widths.append((table["high"] - table["low"]).tolist())
    assert widths[0] < widths[1]
    assert all(map(np.isnan, widths[2])), "12 rows calibrate"
    assert "too few rows calibrated the predictor for this coverage: 2" in outcome.err
    provenance = json.loads(Path("0.9.csv.provenance.json").read_text())["biofm"]
    assert (provenance["coverage"], provenance["method"]) == (0.9, "probe")


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


def test_folds_are_judged_out_of_fold_and_printed(biofm: Any, tiny_esm2: Path) -> None:
    write("t.csv", CELLS["per-residue"], n=20)
    choice = ("--target", "y", "--column", "sequence")
    outcome = biofm("finetune", "t.csv", *choice, "-o", "run", "-m", tiny_esm2, "--folds", "2", *FEW)
    assert outcome.status == 0, outcome.err
    assert "out-of-fold (20 rows, " in outcome.out
    assert "window of 15 residues, logistic" in outcome.out
    assert len(list(Path("run/predictor/members").iterdir())) == 2


def test_a_predictor_that_was_trained_whole_needs_no_other_model(
    biofm: Any, tiny_esm2: Path, tmp_path: Path
) -> None:
    write("t.csv", oiliness)
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in tiny_esm2.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    for method in ("probe", "full"):
        words = ("-m", moved, "--method", method, *FEW_STEPS)
        assert biofm("finetune", "t.csv", *CHOICE, "-o", method, *words).status == 0
    moved.rename(tmp_path / "elsewhere")
    predict = ("predict", "t.csv", "--column", "sequence")
    assert biofm(*predict, "-p", "full/predictor", "-o", "full.csv").status == 0
    lost = biofm(*predict, "-p", "probe/predictor", "-o", "probe.csv")
    assert lost.status == 1
    assert "no such model" in lost.err
    found = biofm(*predict, "-p", "probe/predictor", "-o", "probe.csv", "--model", "elsewhere")
    assert found.status == 0, found.err
    other = biofm(*predict, "-p", "probe/predictor", "-o", "other.csv", "--model", "protein-nano")
    assert "trained on a model of other weights" in other.err
    assert biofm("info", "full/predictor/members/seed-0").status == 0, (
        "a fine-tuned encoder is a model itself"
    )


# what is done to the table or said besides, what the message must say
GOOD = "id,sequence,y,set\n" + "".join(
    f"p{i},{one},{oiliness(one)},{['train', 'train', 'test'][i % 3]}\n" for i, one in enumerate(sequences(18))
)
WRONG: dict[str, tuple[str | None, tuple[str, ...], list[str]]] = {
    "a missing table": (None, (), ["t.csv", "no such file"]),
    "an empty table": ("", (), ["t.csv", "empty"]),
    "no such target": (GOOD, ("--target", "z"), ["'z'", "id, sequence, y, set"]),
    "the sequence as target": (GOOD, ("--target", "sequence"), ["--target", "'sequence' is also"]),
    "a faulty sequence": (GOOD + "x,MK7,0.5,train\n", (), ["t.csv", "record 19 (x)", "position 3"]),
    "no training rows": (GOOD.replace("train", "test"), (), ["0 different sequences"]),
    "one fold": (GOOD, ("--folds", "1"), ["--folds", "one fold leaves nothing"]),
    "more folds than rows": (GOOD, ("--folds", "99"), ["--folds", "at most 12"]),
    "a setting that does not exist": (GOOD, ("--set", "lora_rnk=2"), ["lora_rnk", "lora_rank"]),
    "a configuration that is no TOML": (GOOD, ("--config", "t.csv"), ["t.csv", "not TOML"]),
    "a model that does not exist": (GOOD, ("-m", "esm9"), ["esm9", "no such model"]),
    "a device that does not exist": (GOOD, ("--device", "abacus"), ["--device", "abacus"]),
    "a probe that learns to pool": (GOOD, ("--pool", "attention"), ["--pool", "--method lora"]),
    "a folder that does not exist": (GOOD, ("-o", "nowhere/run"), ["nowhere"]),
    "a folder with files": (GOOD, ("-o", "."), ["not empty", "--resume"]),
    "rows of two kinds": (GOOD + "x,MKT,high,train\n", ("--task", "regression"), ["line 20", "'high' is no"]),
}  # fmt: skip


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
    outcome = biofm("finetune", "t.csv", *choice, *output, *words, *FEW)
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("biofm: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for part in message:
        assert part in outcome.err, outcome.err
    left = [path for path in sorted(tmp_path.iterdir()) if path not in before]
    assert all(path.name == "run" and not any(path.iterdir()) for path in left), left


def test_a_pipe_is_refused(biofm: Any) -> None:
    outcome = biofm("finetune", "-", *CHOICE, "-o", "run")
    assert outcome.status == 1
    assert "a table cannot come through a pipe" in outcome.err


# what is done to the predictor, further words, what the message must say
def _truncate(folder: Path) -> None:
    path = next(folder.glob("members/*/head.safetensors"))
    path.write_bytes(path.read_bytes()[:-5])


def _rewrite(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "predictor.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


DAMAGES: dict[str, tuple[Any, tuple[str, ...], list[str]]] = {
    "no description": (lambda folder: (folder / "predictor.json").unlink(), (), ["no predictor.json"]),
    "another JSON": (_rewrite(format="recipe"), (), ["not a predictor's description"]),
    "no JSON": (lambda folder: (folder / "predictor.json").write_text("{"), (), ["not a predictor's"]),
    "a newer version": (_rewrite(version=2), (), ["version 2", "Update biofm"]),
    "a task of the future": (_rewrite(task="clustering"), (), ["clustering"]),
    "a truncated head": (_truncate, (), ["head.safetensors is no whole safetensors file"]),
    "a missing head": (
        lambda folder: next(folder.glob("members/*/head.safetensors")).unlink(), (),
        ["head.safetensors is missing"],
    ),
    "another number of targets": (_rewrite(targets=["a", "b"]), (), ["gives 1 numbers, not 2"]),
    "a coverage of everything": (lambda folder: None, ("--coverage", "1"), ["--coverage", "between 0 and 1"]),
    "a window of one": (lambda folder: None, ("--window", "1"), ["--window", "at least 2"]),
    "an output of no format": (lambda folder: None, ("-o", "found.txt"), ["found.txt", ".parquet"]),
    "an input at fault": (
        lambda folder: Path("t.csv").write_text("sequence\nMK7\n"), (), ["t.csv", "position 3"]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_esm2: Path) -> Path:
    """A probe's predictor."""
    import biofm

    folder = tmp_path_factory.mktemp("trained")
    table = folder / "t.csv"
    table.write_text(GOOD)
    biofm.finetune(
        table, folder / "run", target="y", column="sequence", split_column="set", model=tiny_esm2,
        dtype="float32", n_resamples=5,
    )  # fmt: skip
    return folder / "run" / "predictor"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_predictor_gives_one_clear_line_and_no_file(
    damage: str, biofm: Any, trained: Path, tmp_path: Path
) -> None:
    harm, words, message = DAMAGES[damage]
    copy = tmp_path / "predictor"
    for file in trained.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(trained)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(trained)).write_bytes(file.read_bytes())
    Path("t.csv").write_text("sequence\nMKT\n")
    harm(copy)
    output = () if "-o" in words else ("-o", "found.csv")
    outcome = biofm("predict", "t.csv", "--column", "sequence", "-p", "predictor", *output, *words)
    assert outcome.status == 1
    assert outcome.err.startswith("biofm: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for part in message:
        assert part in outcome.err, outcome.err
    assert not list(tmp_path.glob("found*"))


def test_python_takes_settings_as_keywords(trained: Path, tmp_path: Path) -> None:
    import biofm

    with pytest.raises(TypeError, match="unexpected keyword argument 'lora_rnk'"):
        biofm.finetune(tmp_path / "t.csv", tmp_path / "run", target="y", lora_rnk=2)
    summary = biofm.predict(
        trained.parents[1] / "t.csv", tmp_path / "t.parquet", predictor=trained, column="sequence"
    )
    assert summary.n_sequences == 18
    metadata = pq.read_schema(tmp_path / "t.parquet").metadata[b"biofm"]
    assert json.loads(metadata)["task"] == "regression"


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_to_the_same_predictions(tiny_esm2: Path, tmp_path: Path) -> None:
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
    os.chdir(tmp_path)
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
    assert Path("run/predictions.csv").read_text() == Path("whole/predictions.csv").read_text()
