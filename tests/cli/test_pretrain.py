"""``biofm pretrain`` end to end, as a person or a program runs it."""

import json
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from biofm.cli import main
from biofm.modalities import STANDARD_RESIDUES
from biofm.training import PretrainRecipe, protein_nano
from tests.conftest import StartProcess

FEW_STEPS = (
    "--steps", "8", "--tokens-per-batch", "128", "--max-length", "64", "--warmup", "2", "--held-out", "4",
    "--checkpoint-every", "3", "--log-every", "1",
)  # fmt: skip
# The command, which stops after step 4 until a line comes in.
PAUSED = """
import sys
from biofm.cli import main
from biofm.core import StageProgress

update = StageProgress.update

def pause(self, stage, done, total, detail=""):
    update(self, stage, done, total, detail)
    if (stage, done) == ("training", 4):
        print("at step 4", flush=True)
        sys.stdin.readline()

StageProgress.update = pause
main()
"""

Run = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    """Forty unlike proteins."""
    rng = np.random.default_rng(0)
    path = tmp_path / "proteins.fasta"
    proteins = ["".join(rng.choice(list(STANDARD_RESIDUES), rng.integers(31, 60))) for _ in range(40)]
    path.write_text("".join(f">p{i}\n{protein}\n" for i, protein in enumerate(proteins)))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs ``biofm pretrain`` in this process; its exit status, standard output and standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def invoke(*words: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["biofm", "pretrain", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        output = capsys.readouterr()
        return caught.value.code, output.out, output.err

    yield invoke
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def start(start_process: StartProcess) -> StartProcess:
    """Starts Python afresh with as many threads as here."""
    variables = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return partial(start_process, sys.executable, variables=variables)


def test_a_program_gets_json_and_nothing_else_on_standard_output(
    fasta: Path, tmp_path: Path, start: StartProcess
) -> None:
    """In a process of its own, where Lightning would say all that it has to say."""
    out = tmp_path / "run"
    words = ("pretrain", fasta, "-o", out, "--steps", 2, "--held-out", 4, "--json", "--quiet")
    process = start("-m", "biofm.cli", *words)
    output, errors = process.communicate()

    assert process.returncode == 0, errors
    summary = json.loads(output)
    assert summary["model"] == str(out / "model")
    assert summary["held_out"]["proteins.fasta"]["n_sequences"] == 4
    assert 15 < summary["held_out"]["proteins.fasta"]["model"] < 30
    assert summary["n_train"] + summary["n_removed"] == 36
    assert errors == (
        "notice: The warm-up (100 steps) is not shorter than the run (2 steps): the learning rate never "
        "reaches its peak.\n"
    )


def test_a_person_gets_a_table_of_the_model_beside_its_baselines(
    fasta: Path, tmp_path: Path, run: Run
) -> None:
    status, output, errors = run(fasta, "-o", tmp_path / "run", *FEW_STEPS)

    assert status == 0, errors
    header, row = output.splitlines()
    assert header.split("  ")[0] == "held-out perplexity"
    assert header.split()[2:] == ["residues", "model", "own", "composition", "unigram"]
    name, _, *perplexities = row.split()
    assert name == "proteins.fasta"
    assert all(15 < float(value) < 30 for value in perplexities)
    assert "Trained on 36 sequences, " in errors
    assert "By perplexity on " in errors, "after so few steps of random proteins"
    assert f"Wrote the model with 1,228,449 parameters to {tmp_path / 'run' / 'model'}." in errors
    assert ("bfloat16: " in errors) or ("float32: " in errors)


OPTIONS = {
    "--objective": ("objective", "masked"), "--tokens-per-batch": ("tokens_per_batch", 300),
    "--batches-per-step": ("batches_per_step", 2), "--max-length": ("max_length", 32),
    "--masked": ("masked_share", 0.3), "--learning-rate": ("learning_rate", 0.01),
    "--warmup": ("n_warmup", 3),
    "--held-out": ("n_held_out", 2), "--seed": ("seed", 4), "--checkpoint-every": ("checkpoint_every", 5),
    "--log-every": ("log_every", 6), "--devices": ("devices", 1),
}  # fmt: skip


def recipe_of(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "recipe.toml").read_text())


def test_the_options_are_those_of_the_recipe(fasta: Path, tmp_path: Path, run: Run) -> None:
    words = [word for option, (_, value) in OPTIONS.items() for word in (option, value)]
    status, _, errors = run(fasta, "-o", tmp_path / "run", "--steps", 0, *words)
    assert status == 0, errors
    recipe = recipe_of(tmp_path / "run")
    assert {name: recipe[name] for name, _ in OPTIONS.values()} == dict(OPTIONS.values())
    assert recipe["n_steps"] == 0
    # What an error calls an option is one.
    assert {option: name for name, option in PretrainRecipe.OPTIONS.items()} == {
        "--steps": "n_steps", **{option: name for option, (name, _) in OPTIONS.items()}
    }  # fmt: skip


def test_a_configuration_gives_what_options_and_settings_do_not(
    fasta: Path, tmp_path: Path, run: Run
) -> None:
    config = tmp_path / "mine.toml"
    config.write_text('n_steps = 0\nn_held_out = 2\nseed = 1\nschedule = "cosine"\n')
    words = ("--config", config, "--seed", 2, "--set", "clip_norm=0.5", "--set", "seed = 3")
    status, _, errors = run(fasta, "-o", tmp_path / "run", *words)
    assert status == 0, errors
    recipe = recipe_of(tmp_path / "run")
    names = ("n_steps", "n_held_out", "seed", "schedule", "clip_norm")
    assert [recipe[name] for name in names] == [0, 2, 3, "cosine", 0.5]
    status, _, errors = run(fasta, "-o", tmp_path / "again", "--config", tmp_path / "run" / "recipe.toml")
    assert status == 0, errors
    assert recipe_of(tmp_path / "again") == recipe


def test_a_shipped_recipe_is_changed_by_what_is_given_beside_it(
    fasta: Path, tmp_path: Path, run: Run
) -> None:
    words = ("--recipe", "protein-nano", "--steps", 0, "--set", "n_held_out=2")
    status, _, errors = run(fasta, "-o", tmp_path / "run", *words)
    assert status == 0, errors
    expected = asdict(replace(protein_nano(), n_steps=0, n_held_out=2))
    assert recipe_of(tmp_path / "run") == expected


def test_an_estimate_writes_nothing(
    fasta: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofm.training.estimating.trial.SECONDS", 0.0)
    words = (fasta, "-o", tmp_path / "run", *FEW_STEPS, "--estimate")
    status, output, errors = run(*words)
    assert (status, errors) == (0, "")
    rows = dict(line.split("  ", 1) for line in output.splitlines())
    assert rows["parameters"].strip() == "1,228,449; 1,228,449 of them are trained"
    assert rows["steps"].strip().startswith("8 with ")
    assert {"training data", "training time", "memory", "output", "--tokens-per-batch"} <= rows.keys()
    status, output, _ = run(*words, "--json")
    assert status == 0
    assert 0.8 * 8 * 128 < json.loads(output)["n_tokens"] <= 8 * 128
    assert sorted(path.name for path in tmp_path.iterdir()) == ["proteins.fasta"]


def test_a_run_is_resumed_by_its_own_recipe(fasta: Path, tmp_path: Path, run: Run) -> None:
    status, _, errors = run(fasta, "-o", tmp_path / "run", "--steps", 0, "--held-out", 3, "--seed", 5)
    assert status == 0, errors
    before = recipe_of(tmp_path / "run")
    status, _, errors = run(fasta, "-o", tmp_path / "run", "--resume")
    assert status == 0, errors
    assert recipe_of(tmp_path / "run") == before


WRONG: list[tuple[tuple[str, ...], str, str]] = [
    (("--steps", "0", "--set", "sede=1"), "",
     "--set: no such setting: sede. Do you mean seed?"),
    (("--steps", "0", "--set", "seed"), "", "--set: 'seed' has no =. Write it as name=value"),
    (("--steps", "0", "--set", "seed=one"), "",
     "--set seed: 'one' is not a whole number. Give a whole number"),
    (("--steps", "0", "--set", "clip_norm=-1"), "",
     "--set clip_norm: -1.0 is too small. Give at least 0"),
    (("--steps", "-1"), "", "--steps: -1 is too small. Give at least 0"),
    ((), "", "--steps: this setting is required. Give it on the command line, or set n_steps in"),
    (("--config", "mine.toml"), "n_step = 1", "mine.toml: no such setting: n_step. Do you mean n_steps?"),
    (("--config", "mine.toml"), 'n_steps = "1"',
     "mine.toml, n_steps: '1' is not a whole number. Give a whole number"),
    (("--config", "mine.toml"), "n_steps 1", "mine.toml: this file is not TOML ("),
    (("--config", "other.toml"), "", "other.toml: there is no such file"),
    (("--recipe", "protein-mega"), "",
     "--recipe: no such recipe: protein-mega. Give protein-nano, or a recipe.toml as --config"),
    (("--steps", "9", "--estimate", "--resume"), "",
     "--estimate: an estimate is always for a whole run. Leave out --resume"),
    (("--steps", "9", "--estimate", "--start-from", "nobody/nothing"), "", "nobody/nothing: "),
    (("--steps", "9", "--estimate", "--objective", "causal", "--start-from", "protein-nano"), "",
     "--objective: "),
    (("--steps", "0", "--held-out", "99"), "",
     "--held-out: 99 of 40 sequences of 30 to 1,022 residues cannot be held out. "
     "Hold out fewer, for example --held-out 10, or give more data"),
    (("--steps", "0", "--set", "seed=1", "--held-out", "500"), "",
     "--held-out: 500 of 40 sequences of 30 to 1,022 residues cannot be held out. "
     "500 is the default; for 40 sequences, give for example --held-out 10, or give more data"),
    (("--steps", "0", "--set", "validate_every=5"), "",
     "--set validate_every: the data has no validation part. "
     "Give --set n_validation=200, or a store prepared with --validation; or leave this out"),
    (("--steps", "1", "--set", "devices=3"), "",
     "--batches-per-step: 3 processes cannot evenly share 1 batch of a step. Give a multiple of 3"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "config", "message"), WRONG)
def test_a_fault_is_one_line_and_nothing_is_lost(
    words: tuple[str, ...],
    config: str,
    message: str,
    fasta: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(config)
    few = () if "--held-out" in words else ("--set", "n_held_out=2")
    status, output, errors = run(fasta, "-o", "run", *words, *few)
    assert (status, output) == (1, "")
    assert errors.startswith(f"biofm: {message}")
    assert errors.count("\n") == 1
    assert fasta.exists()
    assert not (tmp_path / "run").exists(), "a refused run leaves nothing"


def test_skipped_records_are_counted(fasta: Path, tmp_path: Path, run: Run) -> None:
    with fasta.open("a") as file:
        file.write(">bad\nMK1\n")
    status, _, errors = run(
        fasta, "-o", tmp_path / "run", "--steps", 0, "--held-out", 2, "--on-error", "skip"
    )
    assert status == 0, errors
    counted, named = [line for line in errors.splitlines() if line.startswith("notice: ")]
    assert counted == "notice: records skipped: 1"
    assert "(bad): position 3 holds '1'" in named


@pytest.mark.slow
def test_judging_loads_no_lightning(fasta: Path, tmp_path: Path, start: StartProcess) -> None:
    program = """
import sys
from biofm.cli import main
try:
    main()
finally:
    print("lightning" in sys.modules)
"""
    words = ("pretrain", fasta, "-o", tmp_path / "run", "--steps", 0, "--held-out", 2, "--quiet")
    output, errors = start("-c", program, *words).communicate()
    assert output.splitlines()[-1] == "False", errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "step"),
    [(signal.SIGKILL, -signal.SIGKILL, 3), (signal.SIGINT, 130, 4), (signal.SIGTERM, 143, 4)],
)
def test_a_stopped_run_resumes_as_if_it_had_not_been(
    number: signal.Signals, status: int, step: int, fasta: Path, tmp_path: Path, run: Run, start: StartProcess
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(fasta, "-o", whole, *FEW_STEPS)[0] == 0

    process = start("-c", PAUSED, "pretrain", fasta, "-o", parts, *FEW_STEPS, "--quiet")
    assert process.stdout is not None
    assert process.stdout.readline() == "at step 4\n"
    process.send_signal(number)
    output, errors = process.communicate("\n")

    assert process.returncode == status
    message = f"biofm: interrupted. Repeat the command with --resume to continue from the state in {parts}\n"
    assert (output, errors) == ("", "" if number == signal.SIGKILL else message)
    assert [path.name for path in (parts / "checkpoints").glob("step-*")] == [f"step-{step:09}.ckpt"]
    again = run(fasta, "-o", parts, *FEW_STEPS)
    remedy = "Pass --resume to continue it, or choose another folder"
    assert (again[0], again[2]) == (1, f"biofm: {parts}: there is an unfinished run here. {remedy}\n")
    resumed_run = run(fasta, "-o", parts, *FEW_STEPS, "--resume")
    assert resumed_run[0] == 0
    assert f"notice: Resumed: {step} of 8 steps were already made.\n" in resumed_run[2]
    weights, resumed = (load_file(folder / "model" / "model.safetensors") for folder in (whole, parts))
    assert weights.keys() == resumed.keys()
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    tables = [(folder / "metrics.csv").read_text().splitlines() for folder in (whole, parts)]
    without_speed, resumed_without_speed = ([line.rsplit(",", 3)[0] for line in table] for table in tables)
    assert without_speed == resumed_without_speed
    assert len(without_speed) == 9
