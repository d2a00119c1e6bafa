"""Where the processes of a run meet: a store, in which they leave words for one another.

The processes that biofm itself starts on this machine meet in a file, in a folder that this user alone may
open: nothing listens, and nobody else can leave a word. Those that somebody else starts on one machine meet
at a port of its loopback address. Over several machines, and under torchrun, the address in the environment
is theirs, and whoever reaches it is trusted.
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
from biofm.core.signals import remove_at_forced_end
from biofm.core.temporary import FREE_TEMPORARY, temporary_folder
from biofm.training.processes import Processes

PLACE = "BIOFM_MEETING"
"""In the environment of a process that another one started: the folder where they meet."""
LOOPBACK = "127.0.0.1"
SECONDS_TO_READ = 10


def make_place() -> None:
    """A folder for this process and those that it starts; it goes when they are gone.

    Raises OutputError where no temporary folder can be made.
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
    """The number of the process that made the place; None where there is none."""
    return int(Path(os.environ[PLACE]).name.split("-")[1]) if PLACE in os.environ else None


def leave_place() -> None:
    """Remove the folder, in the process that made it; in another one, where that is gone."""
    if first_process() in (os.getpid(), None) or os.getppid() != first_process():
        shutil.rmtree(os.environ.get(PLACE, ""), ignore_errors=True)


def open_rendezvous(processes: Processes, limit: timedelta) -> Store:
    """The store of these processes, who have as long to get there.

    Raises OptionError: nothing says where to meet, or the port is taken.
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
