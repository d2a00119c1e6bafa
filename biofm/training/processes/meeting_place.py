"""Meeting place: the processes of a run meet in torch's key-value store, which passes messages between them.

Processes that biofm starts on this machine meet in a file, in a folder that only this user can open, so no
port is open and no other user can write to it. Processes that a launcher starts on one machine meet at a port
of the loopback address. On several machines, and under torchrun, they meet at the address in the environment,
and trust everyone who can reach it.
"""

import atexit
import os
import shutil
import socket
import tempfile
from datetime import timedelta
from pathlib import Path

from torch.distributed import (  # type: ignore[attr-defined]  # not in the list of what it exports
    FileStore,
    Store,
    TCPStore,
    rendezvous,
)

from biofm.core.errors import OptionError, OutputError
from biofm.core.temporary import FREE_TEMPORARY, remove_at_forced_end, temporary_folder
from biofm.training.processes.ranks import Processes

PLACE = "BIOFM_MEETING"
"""The environment variable that names the folder where the started processes meet."""
LOOPBACK = "127.0.0.1"
SECONDS_TO_READ = 10


def make_place() -> None:
    """Make the folder where this process meets those that it starts, and remove it when they have ended.

    Raises:
        OutputError: No temporary folder can be made.
    """
    parent = temporary_folder()
    try:
        place = tempfile.mkdtemp(prefix=f"biofm-{os.getpid()}-", dir=parent)  # with mode 0700
    except OSError as error:
        what = f"no temporary folder can be made ({error.strerror})"
        raise OutputError(what, where=str(parent), remedy=FREE_TEMPORARY) from error
    os.environ[PLACE] = place
    remove_at_forced_end(Path(place))


def first_process() -> int | None:
    """Return the id of the process that made the folder, or None without a folder."""
    return int(Path(os.environ[PLACE]).name.split("-")[1]) if PLACE in os.environ else None


def leave_place() -> None:
    """Remove the folder if this process made it, or if the process that made it is gone."""
    if first_process() in (os.getpid(), None) or os.getppid() != first_process():
        shutil.rmtree(os.environ.get(PLACE, ""), ignore_errors=True)


def open_rendezvous(processes: Processes, limit: timedelta) -> Store:
    """Open the store of these processes, which have the time ``limit`` to reach it.

    Raises:
        OptionError: The environment does not say where to meet, or the port is taken.
    """
    if PLACE in os.environ:
        atexit.register(leave_place)
        store = FileStore(str(Path(os.environ[PLACE], "words")), processes.world_size)
        store.set_timeout(timedelta(seconds=SECONDS_TO_READ))
        return store
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        what = "processes that you start yourself need an address to meet at, and none is set"
        remedy = "Set it in the environment of each process, or let --devices start them"
        raise OptionError(what, where=" and ".join(missing), remedy=remedy)
    if processes.n_nodes == 1 and processes.launcher != "torchrun":  # torchrun opens its own store
        return _loopback_store(processes, int(os.environ["MASTER_PORT"]), limit)
    found: Store = next(rendezvous("env://", processes.rank, processes.world_size, timeout=limit))[0]
    return found


def _loopback_store(processes: Processes, port: int, limit: timedelta) -> TCPStore:
    listener = None
    if processes.is_main:
        try:
            listener = socket.create_server((LOOPBACK, port)).detach()
        except OSError as error:
            what, remedy = f"port {port} cannot be opened ({error.strerror})", "Give another port"
            raise OptionError(what, where="MASTER_PORT", remedy=remedy) from error
    return TCPStore(LOOPBACK, port, processes.world_size, processes.is_main, limit, master_listen_fd=listener)
