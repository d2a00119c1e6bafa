"""Readers at work on bad files in processes of their own: what they raise, how they die, where they hang.

A child is forked from this process, which has imported everything; its addresses are bounded, so that a file
that asks for all memory is a fault that is seen and not the end of the machine. The file that it reads lies
in its folder before it is read: whatever becomes of the child, its last input is there.
"""

import faulthandler
import json
import math
import mmap
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from biofm_datasets import DataError

from biofm.core import BiofmError
from tests.fuzzing.readers import Reader

ROOM_BYTES = 2 << 30
"""For a reader, above the addresses that a process has when it begins."""
SECONDS_TO_READ = 20.0
"""A process that takes longer for one small file is taken for one without an end."""
N_COUNTER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind``: the exception, the signal that ended the process, or "hang". ``place``: the last line of our
    own code. ``input``: the folder that holds the files as they were read.
    """

    reader: str
    number: int
    kind: str
    place: str
    message: str
    input: str


@dataclass(slots=True)
class Count:
    n_tried: int = 0
    n_refused: int = 0
    n_accepted: int = 0


def mutated(reader: Reader, seed: int, number: int, good: Path, folder: Path) -> str:
    """Write input ``number`` of a reader into ``folder``: the good files, of which one is another."""
    random = Random(f"{seed} {reader.name} {number}")
    name = random.choice(sorted(reader.mutations))
    content = random.choice(reader.mutations[name])(random, (good / name).read_bytes())
    (folder / name).write_bytes(content)
    return name


def restore(folder: Path, good: Path) -> None:
    """Good files again: a reader may have written others, too."""
    known = {path.relative_to(good): path for path in good.rglob("*") if path.is_file()}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder) not in known:
            path.unlink()
    for name, path in known.items():
        (folder / name).write_bytes(path.read_bytes())


@dataclass(frozen=True, slots=True)
class Limit:
    """How far to go: to a time, by ``time.monotonic``, or to a number of inputs, whichever comes first."""

    end: float = math.inf
    n_inputs: float = math.inf

    def allows(self, number: int) -> bool:
        return number < self.n_inputs and time.monotonic() < self.end


def fuzz(reader: Reader, seed: int, limit: Limit, good: Path, work: Path) -> tuple[Count, list[Fault]]:
    """Try inputs up to the limit; a process that died or hung is followed by another one."""
    counter = mmap.mmap(-1, N_COUNTER_BYTES)
    found: list[Fault] = []
    log = work / "log"
    number = 0
    shutil.copytree(good, work / "input")
    while limit.allows(number):
        counter[:] = number.to_bytes(N_COUNTER_BYTES, "little")
        child = os.fork()
        if child == 0:
            _work(reader, seed, number, limit, good, work, counter)
        how = _await(child, counter)
        number = _read(counter) + 1
        if how is None:
            break
        found.append(Fault(reader.name, number - 1, how, _last_place(work), "", _kept(work, number - 1)))
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    counts = [line for line in lines if "n_tried" in line]
    found += [Fault(**line) for line in lines if "kind" in line]
    return Count(**{name: sum(line[name] for line in counts) for name in asdict(Count())}), found


def _work(
    reader: Reader, seed: int, number: int, limit: Limit, good: Path, work: Path, counter: mmap.mmap
) -> None:
    """The child: it never returns."""
    count = Count()
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_addresses() + ROOM_BYTES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable(file=(work / "crash").open("w"))
        faulthandler.register(signal.SIGUSR1, file=(work / "crash").open("w"))
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        warnings.simplefilter("ignore")
        while limit.allows(number):
            counter[:] = number.to_bytes(N_COUNTER_BYTES, "little")
            restore(work / "input", good)
            mutated(reader, seed, number, good, work / "input")
            count.n_tried += 1
            try:
                reader.read(work / "input")
                count.n_accepted += 1
            except (BiofmError, DataError):
                count.n_refused += 1
            except BaseException as error:  # noqa: BLE001  # whatever it is, it is what is sought
                _note(work, asdict(_fault(reader, number, error, work)))
            number += 1
        status = 0
    except BaseException as error:  # noqa: BLE001  # of the harness itself
        _note(work, asdict(_fault(reader, number, error, work)))
    finally:
        _note(work, asdict(count))
        os._exit(status)


def _await(child: int, counter: mmap.mmap) -> str | None:
    """How a child ended; None where it came to its end. One whose counter stands still is ended."""
    last, since = -1, time.monotonic()
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return None if code == 0 else signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if (now := _read(counter)) != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > SECONDS_TO_READ:
            os.kill(child, signal.SIGUSR1)
            time.sleep(1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "hang"
        time.sleep(0.05)


def _read(counter: mmap.mmap) -> int:
    return int.from_bytes(counter[:], "little")


def _addresses() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _fault(reader: Reader, number: int, error: BaseException, work: Path) -> Fault:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "biofm" in frame.filename]
    own = [frame for frame in frames if "site-packages" not in frame.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}" if own else "?"
    return Fault(reader.name, number, type(error).__name__, place, str(error)[:200], _kept(work, number))


def _kept(work: Path, number: int) -> str:
    """The input, out of the way of the next one."""
    place = work / "faults" / str(number)
    shutil.copytree(work / "input", place, dirs_exist_ok=True)
    return str(place)


def _last_place(work: Path) -> str:
    lines = (work / "crash").read_text().splitlines()
    return next((line.strip() for line in lines if "biofm" in line and "site-packages" not in line), "?")


def _note(work: Path, line: dict[str, object]) -> None:
    with (work / "log").open("a") as file:
        file.write(json.dumps(line) + "\n")


def kinds_of(faults: list[Fault]) -> Iterator[tuple[Fault, int]]:
    """One fault of each kind, with how many there are."""
    by_kind: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in faults:
        by_kind.setdefault((fault.reader, fault.kind, fault.place), []).append(fault)
    for same in by_kind.values():
        yield same[0], len(same)
