"""torch's process group carries tensors between processes; this module keeps other users of the machine out.

gloo, the transport, accepts any connection that sends a small number as the process that it expects. On the
loopback address, another user of the machine can connect in this way until the right processes are connected.
Afterwards gloo accepts no more connections, so one check for strangers at that moment is enough.
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
from biofm_datasets.text import format_count
from torch import distributed
from torch.distributed import Store  # type: ignore[attr-defined]  # not in the list of what it exports
from torch.distributed.device_mesh import DeviceMesh

from biofm.training.processes.ranks import Processes

LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"
TABLES = Path("/proc/net/tcp"), Path("/proc/net/tcp6")  # only on Linux; other systems cannot be checked
ESTABLISHED, LISTENING = "01", "0A"
IPV4_IN_IPV6 = "0000000000000000FFFF0000"  # cut from addresses: the two ends may be in different tables


def begin_group(processes: Processes, store: Store, device: torch.device, timeout: timedelta) -> None:
    """Start torch's process group, unless it exists.

    On one machine, gloo then listens at the loopback address only. Lightning would let the name of the
    machine decide where gloo listens.
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
    """Cut the connections that other users made while a group was formed, if it is on one machine.

    Args:
        processes: The processes of the run.
    """
    if processes.n_nodes == 1 and processes.world_size > 1 and (n := drop_strangers()):
        what = f"closed {format_count(n, 'connection')} of other users of this machine"
        print(f"biofm: {what}", file=sys.stderr)  # noqa: T201


def end_group() -> None:
    """End the group and, where no model needs it any more, the threads of gloo.

    A thread releases the tensors of a collective some time after it is over. If Python has ended meanwhile,
    this aborts the process by SIGABRT (pytorch #179291).
    """
    if not distributed.is_initialized():
        return
    gc.collect()  # frees models and their wrappers, which refer to the group
    for mesh in gc.get_objects():
        if type(mesh) is DeviceMesh:  # torch's caches never free these
            getattr(mesh, "_pg_registry", {}).clear()
    distributed.destroy_process_group()


class _Connection(NamedTuple):
    """Holds a row of the kernel's tables: both addresses, the state, the user and the socket's number."""

    here: str
    there: str
    state: str
    user: int
    socket: str


def drop_strangers(user: int | None = None) -> int:
    """Shut the connections of other users to the ports of this process, and return their number.

    ``user`` is the id of the allowed user, by default this process's. If gloo has taken such a connection for
    a process of the run, that process counts as lost from then on.
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
    """Yield the sockets of this process: each one's number in the kernel's tables and its descriptor."""
    for link in Path("/proc/self/fd").glob("*"):
        with suppress(FileNotFoundError):  # the socket was closed meanwhile
            if found := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link)):
                yield found[1], int(link.name)


def _connections() -> Iterator[_Connection]:
    for table in TABLES:
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                row = line.replace(IPV4_IN_IPV6, "").split()
                yield _Connection(row[1], row[2], row[3], int(row[7]), row[9])
