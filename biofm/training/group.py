"""torch's group of processes, through which tensors go from one to another."""

import gc
import os
import sys
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed import Store  # type: ignore[attr-defined]  # not in the list of what it exports
from torch.distributed.device_mesh import DeviceMesh

from biofm.training.peers import drop_strangers
from biofm.training.processes import Processes

LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"


def begin_group(processes: Processes, store: Store, device: torch.device, timeout: timedelta) -> None:
    """Begin the group, unless it is there, in the place of Lightning, which would let the host's name decide
    where gloo listens. On one machine that is the loopback address alone.
    """
    if distributed.is_initialized():
        return
    if processes.n_nodes == 1:
        os.environ |= dict.fromkeys(("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), LOOPBACK_INTERFACE)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=processes.rank,
        world_size=processes.world_size,
        timeout=timeout,
        device_id=device if device.type == "cuda" else None,
    )
    keep_to_ourselves(processes)


def keep_to_ourselves(processes: Processes) -> None:
    """On one machine, cut off whoever else connected as a group was formed."""
    if processes.n_nodes == 1 and processes.world_size > 1 and (n := drop_strangers()):
        print(f"biofm: {n} connections of other users were cut off", file=sys.stderr)  # noqa: T201


def end_group() -> None:
    """End the group and, where no model needs it any more, the threads of gloo.

    Such a thread lets go of the tensors of a collective some time after that is over. Where Python has ended
    meanwhile, the thread dies of it, and the process by SIGABRT (pytorch #179291).
    """
    if not distributed.is_initialized():
        return
    gc.collect()  # models and their wrappers, which refer to the group
    for mesh in gc.get_objects():
        if type(mesh) is DeviceMesh:  # in caches of torch, for ever
            getattr(mesh, "_pg_registry", {}).clear()
    distributed.destroy_process_group()
