"""Forks the processes of a run for each line of standard input, so that a run costs forks and not the seconds
of importing torch and lightning. Run by the fixture ``train``.

A line: the run's folder, changes of the recipe, of each process the variables that tell it which one it is,
and a fault: which process does what at which moment for the n-th time. The answer: their exit codes.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning  # noqa: F401  # before the first fork
import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from torch.distributed import checkpoint as dcp

from biofm.core.errors import BiofmError
from biofm.inference import Compute
from biofm.modalities import ProteinTokenizer
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.training import PretrainRecipe, checkpoints
from biofm.training.data import PackedData
from biofm.training.fit import fit
from biofm.training.objectives import Example, masked_lm
from biofm.training.processes import rendezvous

Fault = Callable[[str], None]


def fail(how: str, of_time: int, moment: str) -> Fault:
    """Fails when told of the moment for the n-th time."""
    count = iter(range(of_time))

    def tick(now: str) -> None:
        if now != moment or next(count, None) is not None:
            return
        if how == "disk full":
            raise OSError(28, "No space left on device")
        if how == "bad record":
            raise ValueError("a bad record")
        os.kill(os.getpid(), signal.Signals[how])

    return tick


def run(folder: Path, changes: dict[str, Any], tick: Fault) -> None:
    dtype = torch.bfloat16 if changes.pop("dtype", "") == "bfloat16" else torch.float32
    recipe = PretrainRecipe(**changes)
    crew = rendezvous(recipe)
    tokenizer = ProteinTokenizer()
    pairs = ("AC", "DE", "FG", "HI", "KL", "MN", "PQ", "RS", "TV", "WY")
    store = TokenStore.of(tokenizer.encode(pair * n) for n in range(8, 24, 3) for pair in pairs)
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
    members = np.arange(len(store))
    mixture = Mixture([members[:-6]], None, recipe.seed)
    data = PackedData(store, mixture, members[-6:], objective, recipe)
    listen_to_saving(tick)
    summary = fit(model, objective, data, recipe, Compute(torch.device("cpu"), dtype, ""), folder, silent)
    if crew.is_main:
        torch.save([model.state_dict(), str(summary)], folder / "end.pt")
    crew.dismiss()


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    pass


def listen_to_saving(tick: Fault) -> None:
    writer: Any = vars(dcp)["FileSystemWriter"]
    bring, write = checkpoints._bring_to_disk, writer.write_data

    def bring_and_tick(path: Path) -> None:
        tick("named")
        bring(path)

    def write_and_tick(*arguments: Any) -> Any:
        tick("written")
        return write(*arguments)

    checkpoints._bring_to_disk = bring_and_tick
    writer.write_data = write_and_tick


def run_as_command(folder: Path, changes: dict[str, Any], variables: dict[str, str], tick: Fault) -> int:
    """As the command line would: an exit code, and one line on standard error."""
    os.environ |= variables
    os.dup2(os.open(folder / "stderr.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    try:
        run(folder, changes, tick)
    except BiofmError as error:
        print("biofm:", error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def start(line: str) -> list[int]:
    folder, changes, processes, (rank, how, moment, of_time) = json.loads(line)
    children = []
    for number, variables in enumerate(processes):
        tick = fail(how, of_time, moment) if number == rank else lambda now: None
        child = os.fork()
        if child == 0:
            os._exit(run_as_command(Path(folder), changes, variables, tick))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(start(line)), flush=True)
    os._exit(0)  # what torch and lightning would tidy up takes seconds
