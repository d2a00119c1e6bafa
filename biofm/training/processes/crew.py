"""Crew: after the processes of a run have met, the first one works first, and the others use its results."""

import atexit
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from biofm_datasets.documents import parse_json
from torch.distributed import (  # type: ignore[attr-defined]  # not in the list of what it exports
    DistError,
    HashStore,
    PrefixStore,
    Store,
)

from biofm.core.errors import BiofmError, OptionError, ProcessError
from biofm.training.processes.group import begin_group, end_group
from biofm.training.processes.launch import SECONDS_TO_END, await_ended, find_ended, launch
from biofm.training.processes.meeting_place import first_process, make_place, open_rendezvous
from biofm.training.processes.ranks import Processes, batches_of_process, find_processes, is_main_process
from biofm.training.recipe import Recipe

TIME_TO_MEET = timedelta(minutes=10)
SECONDS_BETWEEN_LOOKS = 0.1

Result = TypeVar("Result")


class SilentExit(SystemExit):
    """Ends a process without a message, because another process reports the reason."""


class Crew:
    """Lets the processes of a run take turns and share results.

    All take the same turns in the same order, so the number of a turn identifies it.

    Args:
        processes: The rank of this process, and the number of all.
        store: Passes short messages between the processes; None for one process alone.
        parent: The process id of the first process if that started the others, else None.
    """

    def __init__(self, processes: Processes, store: Store | None, parent: int | None = None) -> None:
        self.processes = processes
        self.is_over = False
        self._store = store
        self._parent = parent
        self._n_turns = 0

    @property
    def is_main(self) -> bool:
        return self.processes.is_main

    def begin_group(self, device: torch.device, timeout: timedelta) -> None:
        """Start torch's process group, which carries tensors between the processes.

        Args:
            device: The device of the tensors.
            timeout: How long a call waits for the other processes before it fails.
        """
        store = HashStore() if self._store is None else PrefixStore("group", self._store.clone())  # type: ignore[attr-defined]  # not in its stub
        begin_group(self.processes, store, device, timeout)

    def from_main(self, work: Callable[[], Any]) -> Any:
        """Do ``work`` in the first process, and return its result in every process.

        The others wait as long as it takes. The result travels as JSON, so every process gets a tuple, for
        example, as a list.

        Args:
            work: Returns a value that JSON can hold.

        Raises:
            SilentExit: ``work`` failed; the other processes raise this.
        """
        if not self.is_main:
            return self._await()
        with self._telling() as tell:
            result = json.dumps(work())
            tell(f'{{"result": {result}}}')
        return parse_json(result)

    def in_main(self, work: Callable[[], Result]) -> Result | None:
        """Do ``work`` in the first process and return its result there.

        The others wait as long as it takes, and return None.

        Args:
            work: Is called without arguments.

        Raises:
            SilentExit: ``work`` failed; the other processes raise this.
        """
        with self.main_first():
            return work() if self.is_main else None

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the ``with`` in the first process, then in the others.

        Raises:
            SilentExit: The ``with`` failed in the first process; the other processes raise this.
        """
        if not self.is_main:
            self._await()
            yield
            return
        with self._telling() as tell:
            yield
            tell('{"result": null}')

    def dismiss(self) -> None:
        """End the other processes without a message, because their only run is over.

        The first process waits for them, because they read the results of its turns from it.

        Raises:
            SilentExit: Always, in the other processes.
        """
        self.is_over = True
        if self._store is None:
            return
        if not self.is_main:
            self._store.set(f"gone/{self.processes.rank}", "")
            raise SilentExit(0)
        with suppress(DistError):
            self._await_all("gone", timedelta(seconds=SECONDS_TO_END))

    @contextmanager
    def watched(self, give_up: Callable[[str], None]) -> Iterator[None]:
        """Look after the other processes from a thread within the ``with``.

        Args:
            give_up: Is called with a description of the lost process if one is gone and this process has not
                ended by itself ten seconds later.
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
        """Return whether the first process lives: it is this one's parent, or else the store answers."""
        if self._parent is not None:
            return self.is_main or os.getppid() == self._parent
        try:
            if self._store is not None:
                self._store.check(["are you there?"])
        except DistError:
            return False
        return True

    def find_lost(self) -> str | None:
        """Describe how a process ended, as far as this one can tell; None if all seem to live."""
        return find_ended() if self.is_main_there() else "process 0 is gone"

    def explain_lost(self) -> str:
        """Describe how a process ended that is certainly gone, even if nothing more is known about it."""
        of_main = None if self.is_main_there() else "process 0 is gone"
        return of_main or await_ended() or "one of its processes died"

    def wait_for_all(self, limit: timedelta) -> None:
        """Wait until all processes have arrived.

        Args:
            limit: The longest time to wait.

        Raises:
            DistError: A process is lost, or has not arrived in time.
        """
        assert self._store is not None, "a single process has no others to wait for"
        self._store.set(f"here/{self.processes.rank}", "")
        self._await_all("here", limit)

    def _await_all(self, word: str, limit: timedelta) -> None:
        """Wait until every process but the first has left this word in the store, or raise DistError."""
        self._wait([f"{word}/{rank}" for rank in range(1, self.processes.world_size)], limit)

    @contextmanager
    def _telling(self) -> Iterator[Callable[[str], None]]:
        """Yield a function by which the first process tells the others the result of this turn.

        If the ``with`` fails, they get the exit code instead.
        """
        turn = self._next_turn()

        def tell(word: str) -> None:
            if self._store is not None:
                self._store.set(turn, word)

        try:
            yield tell
        except BaseException as fault:
            tell(json.dumps({"exit code": _exit_code(fault)}))
            raise

    def _await(self) -> Any:
        """Wait for the result of the first process's turn, and return it."""
        assert self._store is not None, "a run with several processes has a store"
        turn = self._next_turn()
        try:
            self._wait([turn])
            word = parse_json(self._store.get(turn))
            if "result" in word:
                return word["result"]
            raise SilentExit(int(word["exit code"]))
        except DistError as error:
            raise SilentExit(1) from error
        except (ValueError, TypeError, KeyError) as error:
            what = "the run ends, because a message between its processes does not come from biofm"
            remedy = "Check which other programs reach the port at which the processes meet"
            raise ProcessError(what, remedy=remedy) from error

    def _wait(self, words: list[str], limit: timedelta = timedelta.max) -> None:
        """Wait for these words in a Python loop, so that this process still receives signals.

        Raises:
            DistError: A process is lost, or the time is over.
        """
        assert self._store is not None, "a single process has no others to wait for"
        end = time.monotonic() + limit.total_seconds()
        while not self._store.check(words):
            if time.monotonic() > end or self.find_lost():
                raise DistError(self.find_lost() or "they did not answer in time")
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _next_turn(self) -> str:
        self._n_turns += 1
        return f"turn/{self._n_turns}"


@contextmanager
def main_speaks() -> Iterator[None]:
    """Let only the first process report an error in the options.

    Before the processes meet, each of them finds the same error. A BiofmError within the ``with`` becomes a
    SilentExit in all but the first one.
    """
    try:
        yield
    except BiofmError as error:
        if is_main_process():
            raise
        raise SilentExit(1) from error


def leave_to_main() -> None:
    """Go on only in the first process of a run.

    Raises:
        SilentExit: This is another process.
    """
    if not is_main_process():
        raise SilentExit(0)


def rendezvous(recipe: Recipe) -> Crew:
    """Return the processes of this run after they have met.

    The first call starts the processes that no launcher starts, and waits until all have arrived. Later calls
    return the same crew.

    Args:
        recipe: Says how many processes the run has.

    Raises:
        ProcessError: Not all processes have arrived within ten minutes.
        OptionError: The number of processes does not fit the recipe, or they ended with an earlier run.
    """
    with main_speaks():
        processes = find_processes(recipe)
    if _starts_others(processes):
        batches_of_process(recipe, processes)  # an error here ends the run before any process has to wait
    crew = _meet(processes)
    if crew.is_over and crew.processes.world_size > 1:
        what = "the processes of the earlier run have ended, and a second run cannot start them again"
        raise OptionError(what, where="--devices", remedy="Start each run by a command of its own")
    return crew


def _starts_others(processes: Processes) -> bool:
    """Return whether this process must start the others, because no launcher does."""
    return processes.launcher == "ourselves" and "LOCAL_RANK" not in os.environ


@cache
def _meet(processes: Processes) -> Crew:
    if processes.world_size == 1:
        return Crew(processes, None)
    if processes.launcher == "SLURM":
        _find_address_of_slurm()
    starts_others = _starts_others(processes)
    if starts_others and processes.n_nodes == 1:
        make_place()
    try:
        store = open_rendezvous(processes, TIME_TO_MEET)
        atexit.register(end_group)  # registered before those of ``launch``, so that it runs after them
        if starts_others:
            launch(processes)
        crew = Crew(processes, PrefixStore("biofm", store), first_process())
        crew.wait_for_all(TIME_TO_MEET)
    except DistError as error:
        what = f"the {processes.world_size} processes of the run did not meet: {error}"
        raise ProcessError(what, remedy="Start all of them within ten minutes") from error
    if (n_threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal() and int(n_threads):
        torch.set_num_threads(int(n_threads))
    return crew


def _find_address_of_slurm() -> None:
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # takes seconds to import

    environment = SLURMEnvironment()
    os.environ |= {"MASTER_ADDR": environment.main_address, "MASTER_PORT": str(environment.main_port)}


def _exit_code(fault: BaseException) -> int:
    """Return the exit code of the command line after this exception."""
    if isinstance(fault, SystemExit):
        return fault.code if isinstance(fault.code, int) else 1
    return 130 if isinstance(fault, KeyboardInterrupt) else 1
