"""The attention benchmark, rehearsed without a GPU: tiny, in Triton's interpreter, a process of its own."""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BENCH = ROOT / "kernels" / "bench" / "attention"

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: Linux has it")

COLUMNS = [
    "workload", "tokens", "heads", "head_dim", "which", "provider", "dtype", "median_ms", "tflops",
    "times_floor", "tokens_per_s", "error", "reason", "gpu", "driver", "torch", "triton", "commit",
    "matmul_tflops", "copy_tb_per_s",
]  # fmt: skip

ON_ONE_CASE = """
import sys
import correctness
import gpu

every_case = correctness.cases
correctness.cases = lambda *arguments: every_case(*arguments)[:1]
sys.argv = ["gpu.py", "--rehearse", *sys.argv[1:]]
"""
ON_SOME_ROWS = """
n_rows = int(sys.argv.pop())
every_task = gpu.tasks
gpu.tasks = lambda sizes: list(every_task(sizes))[:n_rows]
"""
WRONG_BY_A_HUNDREDTH = """
from biofm_kernels.attention import launch

right = launch.forward

def wrong(*arguments):
    out, lse = right(*arguments)
    return out * 1.01, lse

launch.forward = wrong
"""
OTHER_AT_EACH_RUN = """
from biofm_kernels.attention import launch

right, n_calls = launch.backward, 0

def restless(*arguments):
    global n_calls
    n_calls += 1
    d_q, d_k, d_v = right(*arguments)
    return d_q, d_k * (1 + 3e-7 * n_calls), d_v

launch.backward = restless
"""
WITH_VARLEN_OF_A_GPU = """
from dataclasses import replace
import torch
import providers
from biofm_kernels import attention, backend
from tasks import REHEARSED

def varlen(q, k, v, cu_queries, cu_seqlens, max_q, max_k, window_size):
    return attention(q, k, v, cu_seqlens, max_k, window=window_size)

providers.varlen_attn = varlen
workloads = every_case((*REHEARSED.shapes, REHEARSED.padded_shape), (5, 30, 8))
workloads = [replace(workload, dtype=torch.float32) for workload in workloads]
with backend("reference"):
    sys.exit("\\n".join(correctness.faults(workloads, torch.device("cpu"), 2, providers.VARLEN)) or None)
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "kernels", ROOT / "datasets", BENCH)))
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_benchmark_runs_from_the_check_to_the_table(tmp_path: Path) -> None:
    file = tmp_path / "results" / "rows.csv"
    result = run(BENCH / "gpu.py", "--rehearse", "--csv", file)
    assert result.returncode == 0, result.stderr
    order = [
        "agree with float64",
        "matmul",
        "proteins, 20 tokens, heads: 1, head dim: 16, bfloat16, forward\n",
    ]
    places = [result.stdout.index(words) for words in order]
    assert places == sorted(places)
    with file.open(encoding="utf-8", newline="") as opened:
        reader = csv.DictReader(opened)
        rows = list(reader)
    assert reader.fieldnames == COLUMNS
    assert all(bool(row["median_ms"]) != bool(row["reason"]) for row in rows)
    measured = [row for row in rows if row["median_ms"]]
    assert all(float(row["error"]) < 1.2e-2 for row in measured if row["error"])
    assert {row["workload"] for row in measured if row["provider"].startswith("biofm")} == {
        "proteins", "equal 16", "DNA, window 8", "ESM-2 of 1 layers on proteins"
    }  # fmt: skip
    failed = {row["provider"] for row in rows if row["reason"]}
    assert not {name for name in failed if name.startswith("biofm") and "varlen" not in name}


@pytest.mark.slow
def test_a_second_run_measures_only_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    for n_rows in ("2", "3"):
        result = run("-c", f"{ON_ONE_CASE}{ON_SOME_ROWS}gpu.main()", "--csv", file, n_rows)
        assert result.returncode == 0, result.stderr
    with file.open(encoding="utf-8", newline="") as opened:
        providers = [row["provider"] for row in csv.DictReader(opened)]
    assert providers == ["biofm, rotary", "biofm, no rotary", "biofm, LayerNorm and rotary"]
    assert all(name in result.stdout for name in providers), "the table is of both runs"


def test_a_run_out_of_minutes_says_what_is_left(tmp_path: Path) -> None:
    result = run("-c", f"{ON_ONE_CASE}gpu.main()", "--csv", tmp_path / "rows.csv", "--minutes", "0")
    assert result.returncode == 0, result.stderr
    assert "rows are left for another run" in result.stdout


@pytest.mark.parametrize(
    ("fault", "said"),
    [(WRONG_BY_A_HUNDREDTH, "differs from float64"), (OTHER_AT_EACH_RUN, "gives other numbers")],
    ids=["wrong by a hundredth", "other at each run"],
)
def test_a_wrong_kernel_is_not_timed(fault: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    result = run("-c", f"{ON_ONE_CASE}{fault}gpu.main()", "--csv", file)
    assert result.returncode == 1
    assert said in result.stderr
    assert "nothing is timed" in result.stderr
    assert result.stdout == ""
    assert not file.exists()


def test_what_biofm_is_compared_with_computes_the_same() -> None:
    result = run("-c", f"{ON_ONE_CASE}{WITH_VARLEN_OF_A_GPU}")
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_tuning_writes_a_table_of_block_sizes(tmp_path: Path) -> None:
    result = run("-c", f"{ON_ONE_CASE}gpu.main()", "--tune", "--configs", tmp_path)
    assert result.returncode == 0, result.stderr
    before = json.loads((ROOT / "kernels/biofm_kernels/configs/interpreter.json").read_text(encoding="utf-8"))
    table = json.loads((tmp_path / "cpu.json").read_text(encoding="utf-8"))
    assert table.keys() == before.keys()
    for kernel, by_itemsize in table.items():
        assert by_itemsize["2"]["128"] == before[kernel]["2"]["128"]
        assert by_itemsize["2"]["16"].keys() >= before[kernel]["2"]["128"].keys()


def test_the_benchmark_needs_a_gpu_unless_rehearsed() -> None:
    result = run(BENCH / "gpu.py")
    assert result.returncode == 1
    assert "no CUDA device" in result.stderr
