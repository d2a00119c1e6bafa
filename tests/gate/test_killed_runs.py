"""A run that is killed leaves no file of the final name, and the next one removes what it left."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from biofm.gate import ask
from biofm.policy import Request, Target

RUN = """
import sys
from pathlib import Path
from biofm.gate import ask, person
from biofm.policy import Request, Target

target = Target(path=Path(sys.argv[1]))
with ask(Request(verb="embed", principal=person(), reads={}, writes={"output": target})) as permit:
    permit.writer("output").write(bytes(1 << 20))
    permit.writer("output").flush()
    print("half written", flush=True)
    sys.stdin.read()
"""

MakeRequest = Callable[..., Request]
ReadLedger = Callable[[str], list[tuple[Any, ...]]]
StartPython = Callable[..., "Popen[str]"]


def half_written(process: "Popen[str]") -> "Popen[str]":
    assert process.stdout is not None
    assert process.stdout.readline() == "half written\n"
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_file_of_the_final_name(
    signal_number: signal.Signals, tmp_path: Path, start_python: StartPython, read_ledger: ReadLedger
) -> None:
    target = tmp_path / "out.h5ad"
    process = half_written(start_python(RUN, target))

    process.send_signal(signal_number)

    assert process.wait() == -signal_number
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith(f".out.h5ad.partial-{process.pid}-")
    assert partial.stat().st_size == 1 << 20
    assert read_ledger("SELECT decision, outcome FROM requests LEFT JOIN outcomes ON id = request") == [
        ("allow", None)
    ]


def test_the_next_run_removes_what_a_killed_one_left(
    tmp_path: Path, start_python: StartPython, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.h5ad"
    process = half_written(start_python(RUN, target))
    process.kill()
    process.wait()

    with ask(make_request(writes={"output": Target(path=target)})) as permit:
        permit.writer("output").write(b"whole")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.h5ad": b"whole"}


def test_the_next_run_leaves_alone_what_a_living_one_writes(
    tmp_path: Path, start_python: StartPython, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.h5ad"
    living = half_written(start_python(RUN, target))

    with ask(make_request(writes={"output": Target(path=tmp_path / "out.h5ad")})) as permit:
        permit.writer("output").write(b"whole")
        assert len(list(tmp_path.glob(f".out.h5ad.partial-{living.pid}-*"))) == 1
    living.communicate("")

    assert living.returncode == 1  # because this run was first, which it must say
    assert target.read_bytes() == b"whole"


def test_what_other_targets_left_is_left_alone(tmp_path: Path, make_request: MakeRequest) -> None:
    other = tmp_path / ".other.h5ad.partial-1-0a0b0c0d"
    other.touch()

    with ask(make_request(writes={"output": Target(path=tmp_path / "out.h5ad")})):
        pass

    assert other.exists()


def test_planted_links_and_pipes_are_no_leftovers(tmp_path: Path, make_request: MakeRequest) -> None:
    other = tmp_path / "other"
    other.write_text("precious")
    link, pipe = tmp_path / ".out.h5ad.partial-1-0a", tmp_path / ".out.h5ad.partial-1-0b"
    link.symlink_to(other)
    os.mkfifo(pipe)

    with ask(make_request(writes={"output": Target(path=tmp_path / "out.h5ad")})) as permit:
        permit.writer("output").write(b"whole")

    assert link.is_symlink()
    assert pipe.exists()
    assert other.read_text() == "precious"
