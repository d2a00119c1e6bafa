"""Errors for a lack of memory name the option to change and a value that fits."""

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch

from biofm.core import OptionError
from biofm.inference import Compute
from biofm.modalities import STANDARD_RESIDUES
from biofm.training import PretrainRecipe
from biofm.training.estimating import memory_named

MakeRecipe = Callable[..., PretrainRecipe]

LINUX = "[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
ELSEWHERE = "[enforce fail at alloc_cpu.cpp:83] data. DefaultCPUAllocator: not enough memory: you tried to"
START = "--tokens-per-batch: the memory of cpu is too small for batches of 9,000 tokens. "
OR_AGAIN = "; or add --set activation_checkpointing=true"


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError(LINUX),
        RuntimeError(ELSEWHERE),
        RuntimeError("std::bad_alloc"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB"),
        MemoryError(),
    ],
    ids=["Linux", "elsewhere", "C++", "CUDA", "CUDA itself", "cuBLAS", "MPS", "Python"],
)
def test_every_lack_of_memory_is_named(fault: Exception, make_recipe: MakeRecipe, cpu: Compute) -> None:
    recipe = make_recipe(tokens_per_batch=9000)
    with pytest.raises(OptionError) as caught, memory_named(recipe, cpu, lambda: 3072):
        raise fault
    assert str(caught.value) == START + "Give 3072, and more --batches-per-step instead" + OR_AGAIN


@pytest.mark.parametrize(
    ("fits", "remedy"),
    [
        (4096, "Give 4096, and more --batches-per-step instead"),
        (20480, "Give 8192, and more --batches-per-step instead"),
        (0, "Not even 1,024 tokens fit: use a smaller model"),
        (None, "Give fewer tokens"),
    ],
    ids=["found", "not what failed", "nothing fits", "unknown"],
)
def test_the_remedy_is_a_size_that_fits(
    fits: int | None, remedy: str, make_recipe: MakeRecipe, cpu: Compute
) -> None:
    for again in (False, True):
        recipe = make_recipe(tokens_per_batch=9000, activation_checkpointing=again)
        with pytest.raises(OptionError) as caught, memory_named(recipe, cpu, lambda: fits):
            raise MemoryError
        assert str(caught.value) == START + remedy + ("" if again else OR_AGAIN)


def test_a_size_for_which_there_is_no_memory_to_find_it_is_not_named(
    make_recipe: MakeRecipe, cpu: Compute
) -> None:
    def find() -> int:
        raise RuntimeError(LINUX)

    with pytest.raises(OptionError, match="Give fewer tokens"), memory_named(make_recipe(), cpu, find):
        raise MemoryError


@pytest.mark.parametrize(
    "fault", [RuntimeError("shapes differ"), ValueError("bad_alloc"), KeyboardInterrupt()]
)
def test_other_faults_pass(fault: BaseException, make_recipe: MakeRecipe, cpu: Compute) -> None:
    with pytest.raises(type(fault)) as caught, memory_named(make_recipe(), cpu, lambda: 1024):
        raise fault
    assert caught.value is fault


def test_what_the_failed_step_held_is_let_go_before_a_size_is_sought(
    make_recipe: MakeRecipe, cpu: Compute
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    seen: list[torch.Tensor | None] = []

    def step() -> None:
        activations = torch.zeros(1000)
        held.append(weakref.ref(activations))
        try:
            raise RuntimeError(LINUX)
        except RuntimeError as error:
            raise MemoryError from error

    def find() -> int:
        gc.collect()
        seen.append(held[0]())
        return 1024

    with pytest.raises(OptionError), memory_named(make_recipe(), cpu, find):
        step()
    assert seen == [None]


PROGRAM = """
import resource, sys
from pathlib import Path
from biofm.api import model  # imports everything before memory is scarce
from biofm.corpus import reading
from biofm.training import run, run_data, data, fit
from biofm.cli import main

taken = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
limit = taken + (int(sys.argv.pop(1)) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its addresses")
def test_a_run_that_is_short_of_memory_says_what_fits_and_that_runs(
    python_run: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    proteins = ("".join(rng.choice(list(STANDARD_RESIDUES), 500)) for _ in range(60))
    (tmp_path / "in.fasta").write_text("".join(f">p{i}\n{protein}\n" for i, protein in enumerate(proteins)))

    def pretrain(n_tokens: str) -> CompletedProcess[str]:
        output = tmp_path / n_tokens
        words = ("pretrain", "in.fasta", "-o", str(output), "--held-out", "0", "--steps", "3", "--quiet")
        budget = ("--dtype", "float32", "--tokens-per-batch", n_tokens)
        return python_run("-c", PROGRAM, "1300", *words, *budget, cwd=tmp_path)

    failed = pretrain("24000")
    assert failed.returncode == 1, failed.stderr
    (line,) = failed.stderr.splitlines()
    start = "biofm: --tokens-per-batch: the memory of cpu is too small for batches of 24,000 tokens. Give "
    assert line.startswith(start), line
    assert line.endswith(f"{OR_AGAIN}")
    fitting = line.removeprefix(start).split(",")[0]
    assert 1024 <= int(fitting) < 24000
    done = pretrain(fitting)
    assert done.returncode == 0, done.stderr
