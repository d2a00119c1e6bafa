"""Where the processes of a run meet: torch's key-value store, in which they leave words for one another.

The processes that biofm itself starts on this machine meet in a file, in a folder that this user alone may
open: nothing listens, and nobody else can leave a word. Those that somebody else starts on one machine meet
at a port of its loopback address. Over several machines, and under torchrun, they meet at the address in the
environment, and whoever reaches it is trusted.
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
"""The environment variable that tells the started processes the folder where they meet."""
LOOPBACK = "127.0.0.1"
SECONDS_TO_READ = 10


def make_place() -> None:
    """Make the folder where this process meets those that it starts; it is removed when they are gone.

    Raises OutputError: no temporary folder can be made.
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
    """The process id of the process that made the folder; None where there is no folder."""
    return int(Path(os.environ[PLACE]).name.split("-")[1]) if PLACE in os.environ else None


def leave_place() -> None:
    """Remove the folder if this process made it, or if the one that made it is gone."""
    if first_process() in (os.getpid(), None) or os.getppid() != first_process():
        shutil.rmtree(os.environ.get(PLACE, ""), ignore_errors=True)


def open_rendezvous(processes: Processes, limit: timedelta) -> Store:
    """The store of these processes, which have the time ``limit`` to get there.

    Raises OptionError: the environment does not say where to meet, or the port is taken.
    """
    if PLACE in os.environ:
        atexit.register(leave_place)
        store = FileStore(str(Path(os.environ[PLACE], "words")), processes.world_size)
        store.set_timeout(timedelta(seconds=SECONDS_TO_READ))
        return store
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        what = "nothing says where the processes meet that you start by yourself"
        remedy = "Set it in the environment of each, or let --devices start them"
        raise OptionError(what, where=" and ".join(missing), remedy=remedy)
    if processes.n_nodes == 1 and processes.launcher != "torchrun":  # which has a store of its own there
        return _loopback_store(processes, int(os.environ["MASTER_PORT"]), limit)
    found: Store = next(rendezvous("env://", processes.rank, processes.world_size, timeout=limit))[0]
    return found


def _loopback_store(processes: Processes, port: int, limit: timedelta) -> TCPStore:
    listener = None
    if processes.is_main:
        try:
            listener = socket.create_server((LOOPBACK, port)).detach()
        except OSError as error:
            what, remedy = f"cannot listen at port {port} ({error.strerror})", "Give another one"
            raise OptionError(what, where="MASTER_PORT", remedy=remedy) from error
    return TCPStore(LOOPBACK, port, processes.world_size, processes.is_main, limit, master_listen_fd=listener)
