"""The block sizes that a kernel is launched with."""

import pytest
import torch
from biofm_kernels.configs import LARGEST_HEAD_DIM, tables
from biofm_kernels.packing import TILE

TABLES = sorted(path.stem for path in tables.TABLES.glob("*.json"))
CUDA = torch.device("cuda", 0)


def attention_kernels(name: str) -> list[dict[str, dict[str, dict[str, int]]]]:
    return [rows for kernel, rows in tables.read(name).items() if kernel.startswith("attention")]


def pretend_gpu(monkeypatch: pytest.MonkeyPatch, name: str, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_knows_every_kernel(name: str) -> None:
    assert set(tables.read(name)) == set(tables.read("sm_80"))


@pytest.mark.parametrize("name", TABLES)
def test_attention_has_sizes_for_16_and_32_bits_up_to_its_largest_head_dim(name: str) -> None:
    for by_itemsize in attention_kernels(name):
        assert set(by_itemsize) == {"2", "4"}
        assert all(max(map(int, by_head_dim)) == LARGEST_HEAD_DIM for by_head_dim in by_itemsize.values())


@pytest.mark.parametrize("name", TABLES)
def test_blocks_of_attention_divide_a_tile(name: str) -> None:
    rows = [row for by_itemsize in attention_kernels(name) for row in by_itemsize.values()]
    all_sizes = [sizes for by_head_dim in rows for sizes in by_head_dim.values()]
    blocks = [sizes[block] for sizes in all_sizes for block in ("BLOCK_Q", "BLOCK_K") if block in sizes]
    assert blocks
    assert all(block >= 16 and TILE % block == 0 for block in blocks)


@pytest.mark.parametrize(
    ("capability", "architecture"),
    [
        ((7, 5), 80),
        ((8, 0), 80),
        ((8, 9), 80),
        ((9, 0), 90),
        ((10, 0), 100),
        ((10, 3), 100),
        ((12, 0), 120),
        ((12, 1), 120),
    ],
)
def test_a_gpu_takes_the_table_of_its_architecture_or_the_nearest_lower(
    capability: tuple[int, int], architecture: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpu(monkeypatch, "A GPU", capability)
    assert tables.table_name(CUDA) == f"sm_{architecture}"


def test_a_gpu_that_was_timed_takes_its_own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(monkeypatch, "interpreter", (9, 0))
    assert tables.table_name(CUDA) == "interpreter"


def test_a_head_dim_takes_the_sizes_of_the_next_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"32": {"BLOCK_Q": 16}, "128": {"BLOCK_Q": 64}}
    pretend_gpu(monkeypatch, "A GPU", (9, 0))
    monkeypatch.setattr(tables, "read", lambda name: {"kernel": {"2": rows}})
    look_up = tables.block_sizes.__wrapped__  # without its memory
    found = [look_up("kernel", head_dim, 2, CUDA)["BLOCK_Q"] for head_dim in (16, 32, 64, 128)]
    assert found == [16, 16, 64, 64]
