"""torch's group of processes, through which tensors go from one to another, and the strangers kept out of it.

gloo, which carries tensors between processes, takes whoever connects first and sends a small number for the
process that it awaits. On the loopback address that may be another user of the machine, until the right
processes are connected. From then on it listens to nobody else, so strangers are looked for once, then.
"""

import gc
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import torch
from torch import distributed
from torch.distributed import Store  # type: ignore[attr-defined]  # not in the list of what it exports
from torch.distributed.device_mesh import DeviceMesh

from biofm.training.processes.ranks import Processes

LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")  # of Linux; elsewhere nothing is known
ESTABLISHED, LISTENING = "01", "0A"
IPV4_IN_IPV6 = "0000000000000000FFFF0000"  # before an address; the other end may be in either table


def begin_group(processes: Processes, store: Store, device: torch.device, timeout: timedelta) -> None:
    """Begin torch's group, unless it is there. Lightning is kept from doing so: it would let the name of the
    machine decide where gloo listens. On one machine gloo listens at the loopback address alone.
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
    """On one machine, cut off the connections that other users made while a group was formed."""
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


class _Connection(NamedTuple):
    """A row of the kernel's tables: the address here, the one at the other end, the state, the user and the
    number of the socket.
    """

    here: str
    there: str
    state: str
    user: int
    socket: str


def drop_strangers(user: int | None = None) -> int:
    """Shut down the connections to the listening ports of this process that anybody but ``user`` made, and
    return how many they were. ``user`` is this process's own by default. If gloo had taken one of them for a
    process of the run, that process counts as lost from then on.
    """
    user = os.geteuid() if user is None else user
    own = dict(_own_sockets())
    connections = list(_connections())
    of_own = [it for it in connections if it.socket in own]
    ports = {_port(it) for it in of_own if it.state == LISTENING}
    users = {(it.here, it.there): it.user for it in connections if it.state == ESTABLISHED}
    accepted = [it for it in of_own if _port(it) in ports and it.state != LISTENING]
    strange = [it for it in accepted if it.state != ESTABLISHED or users.get((it.there, it.here)) != user]
    for it in strange:
        with suppress(OSError), socket.socket(fileno=os.dup(own[it.socket])) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    return len(strange)


def _port(connection: _Connection) -> str:
    return connection.here.rpartition(":")[2]


def _own_sockets() -> Iterator[tuple[str, int]]:
    """The sockets of this process: the number in the kernel's tables and the file descriptor of each."""
    for link in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # closed meanwhile
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                yield found[1], int(link.name)


def _connections() -> Iterator[_Connection]:
    for table in TABLES:
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                row = line.replace(IPV4_IN_IPV6, "").split()
                yield _Connection(row[1], row[2], row[3], int(row[7]), row[9])
