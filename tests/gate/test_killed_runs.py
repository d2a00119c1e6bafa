"""A killed run leaves no file under the final name, and the next run removes what it left."""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest

from biofm.core import OutputError
from biofm.core.journal import Entry
from biofm.gate import ask, remove_leftovers, scratch_path, was_finished
from biofm.policy import Request, Target
from tests.conftest import ReadLedger, StartProcess

RUN = """
import sys
from pathlib import Path
from biofm.api.request import request_of
from biofm.gate import ask
from biofm.policy import Target

request = request_of("embed", writes={"output": Target(path=Path(sys.argv[1]))})
with ask(request) as permit:
    permit.writer("output").write(bytes(1 << 20))
    permit.writer("output").flush()
    print("half written", flush=True)
    sys.stdin.read()
"""

MakeRequest = Callable[..., Request]


def half_written(process: "Popen[str]") -> "Popen[str]":
    assert process.stdout is not None
    assert process.stdout.readline() == "half written\n"
    return process


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_no_file_of_the_final_name(
    signal_number: signal.Signals, tmp_path: Path, start_python: StartProcess, read_ledger: ReadLedger
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
    tmp_path: Path, start_python: StartProcess, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.h5ad"
    process = half_written(start_python(RUN, target))
    process.kill()
    process.wait()

    with ask(make_request(writes={"output": Target(path=target)})) as permit:
        permit.writer("output").write(b"whole")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.h5ad": b"whole"}


def test_the_next_run_leaves_alone_what_a_living_one_writes(
    tmp_path: Path, start_python: StartProcess, make_request: MakeRequest
) -> None:
    target = tmp_path / "out.h5ad"
    living = half_written(start_python(RUN, target))

    with ask(make_request(writes={"output": Target(path=tmp_path / "out.h5ad")})) as permit:
        permit.writer("output").write(b"whole")
        assert len(list(tmp_path.glob(f".out.h5ad.partial-{living.pid}-*"))) == 1
    living.communicate("")

    assert living.returncode == 1  # It must say that this run was first.
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


# Python reports these events before it acts: a process killed there has done the step before, not this one.
STEPS = {"open", "os.link", "os.remove", "os.rename", "os.rmdir", "os.chmod", "sqlite3.connect"}
CONTENTS = {"out.csv": b"id\nP\n", "out.csv.provenance.json": b"{}\n", "out.svg": b"<svg/>"}


def kill_at(number: int) -> Callable[[str, tuple[object, ...]], None]:
    steps = count()

    def look(event: str, _: tuple[object, ...]) -> None:
        if event in STEPS and next(steps) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return look


def run_with_outputs(request: Request, at_end: Callable[[], object] = lambda: None) -> None:
    with ask(request) as permit:
        journal = permit.journal("work")
        journal.begin({"how": "so"}, {})
        if not journal.n_done:
            journal.commit([Entry(1, ["P"], [b"k" * 16])], {b"k" * 16: np.ones(2, np.float32)})
        journal.finish({})
        for role, content in zip(("output", "provenance", "picture"), CONTENTS.values(), strict=True):
            permit.writer(role).write(content)
        at_end()


@pytest.fixture
def with_outputs(tmp_path: Path, make_request: MakeRequest) -> Request:
    """Return a request for a table, the file beside it, and unfinished work, which is resumed."""
    paths = dict(zip(("output", "provenance", "picture"), map(tmp_path.joinpath, CONTENTS), strict=True))
    writes = {role: Target(path=path) for role, path in paths.items()}
    work = Target(path=scratch_path(paths["output"]), kind="scratch", resume=True)
    return make_request(writes=writes | {"work": work})


def killed_at_its_end(request: Request, step: int) -> bool:
    """Return whether a run with these outputs is killed before this step of its end. False: it has fewer."""
    child = os.fork()
    if not child:
        status = 1
        try:
            run_with_outputs(request, lambda: sys.addaudithook(kill_at(step)))
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def test_killed_before_any_step_of_its_end_a_run_is_whole_when_it_is_resumed(
    tmp_path: Path, with_outputs: Request
) -> None:
    output, found = tmp_path / "out.csv", []
    for step in count():
        was_killed = killed_at_its_end(with_outputs, step)
        if output.exists():
            assert {name: (tmp_path / name).read_bytes() for name in CONTENTS} == CONTENTS
        found.append(was_finished(output))
        if found[-1]:
            remove_leftovers(output)
        else:
            run_with_outputs(with_outputs)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENTS
        for path in tmp_path.iterdir():
            path.unlink()
        if not was_killed:
            break
    assert found == sorted(found)
    assert found.count(False) >= 7, "steps before the work is gone"
    assert found.count(True) >= 2, "and behind"


def test_a_resumed_run_replaces_its_own_outputs_and_no_others(tmp_path: Path, with_outputs: Request) -> None:
    output = tmp_path / "out.csv"
    step = next(step for step in count() if killed_at_its_end(with_outputs, step) and output.exists())
    assert step
    output.write_bytes(b"another's")

    with pytest.raises(OutputError, match="already exists"):
        run_with_outputs(with_outputs)

    assert output.read_bytes() == b"another's"
