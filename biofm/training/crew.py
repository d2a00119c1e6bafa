"""The processes of a run, met: they wait for the first one, and take what it made."""

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import NamedTuple, TypeVar

import torch
from torch.distributed import DistError, DistNetworkError, PrefixStore, Store, TCPStore, rendezvous

from biofm.core.errors import ProcessError
from biofm.training.launch import SECONDS_TO_END, find_ended, launch
from biofm.training.processes import Processes, find_processes
from biofm.training.recipe import Recipe

MINUTES_TO_MEET = 10
SECONDS_BETWEEN_LOOKS = 0.1

Result = TypeVar("Result")


class Told(SystemExit):
    """The end of a process in silence: another one tells why."""


class _Fault(NamedTuple):
    """What the first process ended with in the place of a result."""

    exit_code: int


class Crew:
    """The processes of a run. They all do the same, so that what they share needs no name: it has a number.

    ``store``: in the first process or in torchrun's; None where there is one process alone.
    """

    def __init__(self, processes: Processes, store: Store | None) -> None:
        self.processes = processes
        self._store = store
        self._n_shared = 0

    @property
    def is_main(self) -> bool:
        return self.processes.is_main

    def from_main(self, work: Callable[[], Result]) -> Result:
        """What ``work`` makes in the first process, in every one: they wait for it as long as it takes.

        Raises Told in the others where it fails.
        """
        if self._store is None:
            return work()
        key = f"shared/{self._n_shared}"
        self._n_shared += 1
        return self._share(work, key, self._store) if self.is_main else self._wait(key, self._store)

    @contextmanager
    def watched(self, give_up: Callable[[str], None]) -> Iterator[None]:
        """Look after the other processes meanwhile: ``give_up`` is called, from a thread, with what became of
        one that is gone, where this process does not end by itself soon after.
        """
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(SECONDS_BETWEEN_LOOKS):
                lost = self.find_lost()
                if lost is not None and not is_over.wait(SECONDS_TO_END):
                    give_up(lost)

        thread = threading.Thread(target=look, daemon=True, name="watch")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def is_main_there(self) -> bool:
        """Whether the store answers, which the first process holds, or torchrun for it."""
        try:
            if self._store is not None:
                self._store.check(["are you there?"])
        except DistNetworkError:
            return False
        return True

    def find_lost(self) -> str | None:
        """What became of a process that is gone, as far as this one can tell."""
        return find_ended() if self.is_main_there() else "process 0 is gone"

    def _share(self, work: Callable[[], Result], key: str, store: Store) -> Result:
        try:
            result = work()
        except BaseException as fault:
            store.set(key, pickle.dumps(_Fault(_exit_code(fault))))
            raise
        store.set(key, pickle.dumps(result))
        return result

    def _wait(self, key: str, store: Store) -> Result:
        try:
            while not store.check([key]):
                time.sleep(SECONDS_BETWEEN_LOOKS)  # in Python, where a signal is heard
            result: Result | _Fault = pickle.loads(store.get(key))
        except DistError as error:
            raise Told(1) from error
        if isinstance(result, _Fault):
            raise Told(result.exit_code)
        return result


def meet(recipe: Recipe) -> Crew:
    """The crew of this run. The first call starts the processes that nobody else starts, and waits until all
    are there.

    Raises ProcessError where they are not within ten minutes. OptionError: the numbers do not fit.
    """
    return _meet(find_processes(recipe))


@cache
def _meet(processes: Processes) -> Crew:
    if processes.world_size == 1:
        return Crew(processes, None)
    if processes.launcher == "SLURM":
        _find_address_of_slurm()
    if processes.launcher == "ourselves" and "LOCAL_RANK" not in os.environ:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        held = _hold_port()
        launch(processes)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    patience = timedelta(minutes=MINUTES_TO_MEET)
    try:
        store, *_ = next(rendezvous("env://", processes.rank, processes.world_size, timeout=patience))
        store = PrefixStore("biofm", store)
        store.set(f"here/{processes.rank}", "")
        store.wait([f"here/{rank}" for rank in range(processes.world_size)], patience)
    except DistError as error:
        what = f"{processes.world_size} processes did not find one another in {MINUTES_TO_MEET} minutes"
        raise ProcessError(what, remedy="Start as many as you ask for") from error
    return Crew(processes, store)


def _find_address_of_slurm() -> None:
    from lightning.fabric.plugins.environments import SLURMEnvironment  # takes seconds to import

    environment = SLURMEnvironment()
    os.environ |= {
        "MASTER_ADDR": environment.main_address,
        "MASTER_PORT": str(environment.main_port),
    }


def _hold_port() -> TCPStore | None:
    """A free port, unless one was given: held until it is met at, so that no other run takes it."""
    if "MASTER_PORT" in os.environ:
        return None
    options = {"is_master": True, "wait_for_workers": False, "multi_tenant": True}
    store = TCPStore(os.environ["MASTER_ADDR"], 0, **options)
    os.environ["MASTER_PORT"] = str(store.port)
    return store


def _exit_code(fault: BaseException) -> int:
    """What the command line makes of it."""
    if isinstance(fault, SystemExit):
        return fault.code if isinstance(fault.code, int) else 1
    return 130 if isinstance(fault, KeyboardInterrupt) else 1
