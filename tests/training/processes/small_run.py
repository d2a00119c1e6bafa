"""Trains a small model in a process of the fork server, to its end or to a chosen fault."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from lightning.fabric.plugins.io import torch_io
from torch.distributed import checkpoint as dcp

from biofm.core import BiofmError
from biofm.inference import Compute
from biofm.modalities import ProteinTokenizer
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.training import PretrainRecipe, checkpoints
from biofm.training.data import PackedData
from biofm.training.fit import fit
from biofm.training.objectives import Example, masked_lm
from biofm.training.processes import rendezvous

Fault = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Data:
    """Says how often each of ten pairs of residues repeats; the last ``n_held_out`` proteins are held out."""

    n_repeats: tuple[int, ...] = (8, 11, 14, 17, 20, 23)
    n_held_out: int = 6


def fault_at(moment: str, number: int, how: str) -> Fault:
    """Return a function that fails when it is called with the moment, after ``number`` such calls.

    ``how`` says in which way it fails. The moments are "training" and "validation", before a loss is
    computed; "half written", when half of a checkpoint of one file is written; "written", before a process
    writes its part of a checkpoint; "named", before a complete checkpoint gets its name.
    """
    count = iter(range(number))

    def tick(now: str) -> None:
        if now != moment or next(count, None) is not None:
            return
        if how == "disk full":
            raise OSError(28, "No space left on device")
        if how == "bad record":
            raise ValueError("a bad record")
        os.kill(os.getpid(), signal.Signals[how])

    return tick


def train(folder: Path, changes: dict[str, Any], given: Data, tick: Fault) -> None:
    """Train by a recipe; ``end.pt`` holds the weights and how the training ended."""
    dtype = torch.bfloat16 if changes.pop("dtype", "") == "bfloat16" else torch.float32
    recipe = PretrainRecipe(**changes)
    crew = rendezvous(recipe)
    tokenizer = ProteinTokenizer()
    pairs = ("AC", "DE", "FG", "HI", "KL", "MN", "PQ", "RS", "TV", "WY")
    store = TokenStore.of(tokenizer.encode(pair * n) for n in given.n_repeats for pair in pairs)
    config = EncoderConfig(
        vocab_size=33, d_model=16, n_layers=2, n_heads=2, d_feedforward=24, trained_length=64,
        norm_bias=False, linear_bias=False, feedforward="swiglu", qk_norm=True,
    )  # fmt: skip
    model = MaskedLM(config)
    initialise(model, 0)
    plain = masked_lm(tokenizer, recipe)
    seen = (folder / f"seen-{os.getpid()}.txt").open("w", buffering=1)

    def loss(model: torch.nn.Module, example: Example) -> torch.Tensor:
        tick("training" if torch.is_grad_enabled() else "validation")
        if torch.is_grad_enabled():
            print(example.cursor, example.batch.tokens.tolist(), example.rows.tolist(), file=seen)
        return plain.loss(model, example)

    objective = replace(plain, loss=loss)
    members, held_out = np.split(np.arange(len(store)), [len(store) - given.n_held_out])
    data = PackedData(store, Mixture([members], None, recipe.seed), held_out, objective, recipe)
    call_while_saving(tick)
    summary = fit(model, objective, data, recipe, Compute(torch.device("cpu"), dtype, ""), folder, silent)
    if crew.is_main:
        said = [str(value) for value in (summary.n_steps, summary.best_step, summary.stopped_early)]
        torch.save([model.state_dict(), said], folder / "end.pt")
    crew.dismiss()


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    """Show no progress."""


def call_while_saving(tick: Fault) -> None:
    """Have the writers of checkpoints call ``tick`` with the moments of saving."""
    writer: Any = vars(dcp)["FileSystemWriter"]
    files: Any = torch_io
    bring, write, save = checkpoints._bring_to_disk, writer.write_data, files._atomic_save

    def bring_and_tick(path: Path) -> None:
        tick("named")
        bring(path)

    def write_and_tick(*arguments: Any) -> Any:
        tick("written")
        return write(*arguments)

    def save_and_tick(content: Any, path: Path) -> None:
        save(content, path)
        whole = Path(path).read_bytes()
        os.truncate(path, len(whole) // 2)
        tick("half written")
        Path(path).write_bytes(whole)

    checkpoints._bring_to_disk = bring_and_tick
    writer.write_data = write_and_tick
    files._atomic_save = save_and_tick


def run(
    folder: str, changes: dict[str, Any], given: dict[str, Any], fault: tuple[str, int, str] | None
) -> int:
    """Train as the command line would: return an exit code, and print an error to standard error."""
    torch.set_num_threads(1)
    tick = fault_at(*fault) if fault else lambda now: None
    try:
        train(Path(folder), changes, Data(**given), tick)
    except BiofmError as error:
        print("biofm:", error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0
