"""An encoder in several processes by torch's own wrappers, to which its operations are ordinary ones."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

PROGRAM = """
import os
import sys
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from biofm.nn import EncoderConfig, MaskedLM, compile_blocks, initialise, pack, recompute_blocks, shard

CONFIG = EncoderConfig(
    vocab_size=11, d_model=24, n_layers=2, n_heads=2, d_feedforward=40, trained_length=64,
    norm_bias=False, linear_bias=False, feedforward="swiglu", qk_norm=True,
)
LENGTHS = [[7, 1], [12, 12]]  # of each process

def make():
    torch.manual_seed(0)
    model = MaskedLM(CONFIG).double()
    initialise(model, 1)
    return model

def batches():
    generator = torch.Generator().manual_seed(2)
    return [pack([torch.randint(0, 11, (n,), generator=generator) for n in lengths]) for lengths in LENGTHS]

def loss_of(model, batch):
    rows = batch.rows(torch.arange(0, len(batch.tokens), 3))
    return model(batch, rows).square().sum()

def work(rank, how, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    expected = make()
    sum(loss_of(expected, batch) for batch in batches()).backward()
    model = make()
    names = [name for name, _ in model.named_parameters()]
    rounds = "bfloat16" in how
    if "recomputed" in how:
        recompute_blocks(model.encoder)
    if "compiled" in how:
        compile_blocks(model.encoder, backend="aot_eager")
    if "FSDP2" in how:
        shard(model, init_device_mesh("cpu", (2,)), torch.bfloat16 if rounds else None)
        wrapped = model
    else:
        wrapped = DistributedDataParallel(model)
    loss_of(wrapped, batches()[rank]).backward()
    assert [name for name, _ in model.named_parameters()] == names
    for (name, found), exact in zip(model.named_parameters(), expected.parameters(), strict=True):
        gradient = found.grad.full_tensor() if "FSDP2" in how else found.grad
        difference = (gradient.double() * 2 - exact.grad).norm() / exact.grad.norm()  # both average
        assert difference < (5e-2 if rounds else 1e-9), (name, difference)
    # torch's caches and default arguments keep the group for ever. Its threads may let go of a tensor when
    # Python has ended, and die of it, so Python does not end.
    os._exit(0)

if __name__ == "__main__":
    mp.spawn(work, args=tuple(sys.argv[1:]), nprocs=2)
    print("the same gradients")
"""

WAYS = [
    "DDP",
    "DDP, recomputed, compiled",
    "FSDP2",
    "FSDP2 in bfloat16",
    "FSDP2, recomputed",
    "FSDP2, recomputed, compiled",
]


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
def test_two_processes_have_the_gradients_of_one(
    how: str, python_run: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    result = python_run(str(tmp_path / "program.py"), how, str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "the same gradients"
