"""A run that is killed outright, wherever it is, and resumed is the uninterrupted one to the last bit."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from biofm.training.folder import newest_step
from biofm.training.log import read_log

# Forks a child for each line, so that a run costs a fork and not the seconds of importing torch. The child
# kills itself at a moment of the line: when it computes the loss for the n-th time in training or in
# validation, when it has written half of a checkpoint, or all of one that has no name yet.
ZYGOTE = """
import json, os, signal, sys, tempfile
from dataclasses import replace
from pathlib import Path
import numpy as np, torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from biofm.inference import Compute
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.modalities import ProteinTokenizer
from biofm.training import PretrainRecipe, checkpoints
from biofm.training.data import PackedData
from biofm.training.fit import fit
from biofm.training.objectives import masked_lm
from lightning.fabric.plugins.io import torch_io

torch.set_num_threads(1)

def die_at(n):
    count = iter(range(n))
    def tick():
        if next(count, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
    return tick

def run(folder, changes, moment, number):
    recipe = PretrainRecipe(**changes)
    tokenizer = ProteinTokenizer()
    pairs = ("AC", "DE", "FG", "HI", "KL", "MN", "PQ", "RS", "TV", "WY")
    store = TokenStore.of(tokenizer.encode(pair * 20) for pair in pairs)
    config = EncoderConfig(
        vocab_size=33, d_model=16, n_layers=2, n_heads=2, d_feedforward=24, trained_length=64,
        norm_bias=False, linear_bias=False, feedforward="swiglu", qk_norm=True,
    )
    model = MaskedLM(config)
    initialise(model, 0)
    objective = masked_lm(tokenizer, recipe)
    ticks = {moment: die_at(number)}
    def loss(model, example):
        ticks.get("training" if torch.is_grad_enabled() else "validation", lambda: None)()
        return objective.loss(model, example)
    bring = checkpoints._bring_to_disk
    def bring_and_tick(path):
        ticks.get("saving", lambda: None)()
        bring(path)
    checkpoints._bring_to_disk = bring_and_tick
    save = torch_io._atomic_save
    def save_and_tick(content, path):
        save(content, path)
        if "writing" in ticks:
            os.truncate(path, os.path.getsize(path) // 2)
            ticks["writing"]()
            save(content, path)
    torch_io._atomic_save = save_and_tick
    watched = replace(objective, loss=loss)
    data = PackedData(store, Mixture([np.arange(7)], None, recipe.seed), np.arange(7, 10), watched, recipe)
    compute = Compute(torch.device("cpu"), torch.float32, "")
    summary = fit(model, watched, data, recipe, compute, Path(folder), lambda *progress: None)
    said = [str(value) for value in (summary.n_steps, summary.best_step, summary.stopped_early)]
    torch.save([model.state_dict(), said], Path(folder) / "end.pt")

RECIPE = {"n_steps": 1, "tokens_per_batch": 128, "max_length": 64}
with tempfile.TemporaryDirectory() as folder:  # imports and measures what is to be so once, before any fork
    run(folder, RECIPE, "", 0)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            run(*json.loads(line))
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

RECIPE = {
    "n_steps": 11, "tokens_per_batch": 128, "max_length": 64, "n_warmup": 2, "batches_per_step": 3,
    "log_every": 4, "checkpoint_every": 3, "validate_every": 2, "learning_rate": 0.02, "clip_norm": 0.5,
}  # fmt: skip
MUON = {"optimizer": "muon", "ema_decay": 0.8}
# No step is better than the first judged one, so that the run ends after two more judgements.
ADAMW = {"optimizer": "adamw", "schedule": "cosine", "patience": 2, "learning_rate": 0.999}
# Of training, the batch at which a session dies, counted from where it resumed: amid a step, at its
# beginning, at its end; of validation, the batch; of writing and saving, the checkpoint.
MOMENTS = [("training", 10), ("validation", 1), ("writing", 0), ("saving", 0), ("training", 8)]

Run = Callable[..., int]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Trains in a process of its own; its exit status, -9 where it was killed."""
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ZYGOTE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | path
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        to, answers = process.stdin, process.stdout

        def train(folder: Path, changes: dict[str, Any], moment: str = "", number: int = 0) -> int:
            folder.mkdir(exist_ok=True)
            print(json.dumps([str(folder), RECIPE | changes, moment, number]), file=to, flush=True)
            return int(answers.readline())

        yield train
        to.close()


def end_of(folder: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    weights, summary = torch.load(folder / "end.pt", weights_only=True)
    return weights, summary


def rows_of(folder: Path) -> list[str]:
    """Of each row of the table what does not depend on the machine, letter for letter."""
    return [line.rsplit(",", 3)[0] for line in (folder / "metrics.csv").read_text().splitlines()]


def check_same(folder: Path, whole: Path) -> None:
    (weights, summary), (expected, expected_summary) = end_of(folder), end_of(whole)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert summary == expected_summary
    assert rows_of(folder) == rows_of(whole)


def test_killed_again_and_again_it_ends_as_the_uninterrupted_one(run: Run, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, MUON) == 0
    statuses = [run(killed, MUON | {"n_workers": i % 2}, *moment) for i, moment in enumerate(MOMENTS)]
    assert statuses == [-signal.SIGKILL] * 5
    assert run(killed, MUON) == 0
    check_same(killed, whole)
    assert not list((killed / "checkpoints").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [MUON, ADAMW], ids=["muon, averaged", "adamw, stopped early"])
def test_wherever_it_is_killed_it_ends_as_the_uninterrupted_one(
    changes: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    assert run(whole, changes) == 0
    n_batches = 3 * int(end_of(whole)[1][0])
    moments = [
        *product(["training"], range(1, n_batches, 4)), *product(["validation"], range(3)),
        *product(["writing", "saving"], range(3)),
    ]  # fmt: skip
    for i, (moment, number) in enumerate(moments):
        killed = tmp_path / f"{moment} {number}"
        assert run(killed, changes | {"n_workers": i % 3}, moment, number) == -signal.SIGKILL
        assert run(killed, changes | {"n_workers": (i + 1) % 3}) == 0
        check_same(killed, whole)


def test_the_same_seed_gives_the_same_digits_and_another_does_not(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        assert run(folder, MUON | {"seed": seed}) == 0
    check_same(folders[1], folders[0])
    assert rows_of(folders[2]) != rows_of(folders[0])


def test_a_run_that_stopped_early_keeps_its_best_step_and_is_not_trained_on(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path, ADAMW) == 0
    weights, summary = end_of(tmp_path)
    losses = {
        int(row["step"]): row["validation_loss"]
        for row in read_log(tmp_path / "metrics.csv")
        if "validation_loss" in row
    }
    best_step = min(losses, key=lambda step: losses[step])
    n_steps = best_step + 2 * ADAMW["patience"]
    assert summary == [str(n_steps), str(best_step), "True"]
    assert newest_step(tmp_path / "checkpoints") == n_steps < RECIPE["n_steps"]

    assert run(tmp_path, ADAMW, "training", 0) == 0  # which would kill it
    again, summary_again = end_of(tmp_path)
    assert summary_again == summary
    assert all(torch.equal(weights[name], again[name]) for name in weights)
