"""What a worker may do, how its end is said, and what the parent does about it."""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import biofm
from biofm.core.errors import ProcessError, RefusedError
from biofm.gate.confinement import ALL_LAYERS, Grant, Layer, Worker
from biofm.gate.confinement.grant import LEAST_MEMORY_BYTES
from tests.conftest import StartProcess
from tests.gate.confinement.attempts import Attempt, Outcome
from tests.gate.confinement.conftest import MODULE, Scene


def test_a_worker_reads_its_granted_file_by_descriptor_and_by_name(scene: Scene) -> None:
    assert scene.attempt("read_granted") == "the granted text"
    assert scene.attempt("reopen_granted") == "the granted text"
    assert scene.attempt("read", about={"path": scene.about["granted"]}) == "the granted text"
    assert [end.end for end in scene.ends] == ["finished"] * 3


def test_a_worker_writes_its_output_and_nothing_else(scene: Scene) -> None:
    folder = scene.about["output"]
    scene.attempt("write", about={"path": f"{folder}/made"}, outputs=(folder,))
    assert Path(folder, "made").read_text() == "written"
    scene.attempt("write", about={"path": f"{folder}/made"}, outputs=(f"{folder}/made",))
    with pytest.raises(RefusedError):
        scene.attempt("write", about={"path": f"{folder}/other"}, outputs=(f"{folder}/made",))


def test_a_worker_connects_to_a_granted_port(scene: Scene) -> None:
    scene.attempt("speak_tcp", ports=(scene.about["port"],))


def test_a_worker_starts_threads(scene: Scene) -> None:
    assert scene.attempt("start_thread") == "from a thread"


def test_a_worker_gets_no_variables_but_those_of_the_list(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "of the account")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = json.loads(scene.attempt("tell_environment"))
    assert not {"SECRET_TOKEN", "LD_PRELOAD", "PATH", "PYTHONPATH"} & found.keys()
    assert found["OMP_NUM_THREADS"] == "1"


def test_a_worker_of_root_keeps_no_capability_but_that_to_read(scene: Scene) -> None:
    assert int(scene.attempt("tell_capabilities"), 16) in (0, 1 << 2)


def test_a_worker_gets_no_descriptor_of_the_parent(scene: Scene) -> None:
    with open(scene.about["path"]) as file:
        descriptor = fcntl.fcntl(file, fcntl.F_DUPFD, 500)
        os.set_inheritable(descriptor, True)
        try:
            assert scene.attempt("tell_descriptor", about={"descriptor": descriptor}) == "EBADF"
        finally:
            os.close(descriptor)


def test_the_memory_of_a_worker_comes_back_sealed(scene: Scene) -> None:
    worker = scene.worker()
    job = Attempt("fill_memory_given", "{}")
    with worker.run(job, Outcome) as finished:
        assert finished.memory.read(15) == b"from the worker"
        with pytest.raises(PermissionError):
            os.pwrite(finished.memory.fileno(), b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(finished.memory.fileno(), 1)
    os.close(worker.grant.files["granted"].descriptor)


# What is tried, how it is held, how its end is called, what the message says, and its end without the limits.
LIMITED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "fill_memory": ({}, "memory", "more memory than the 4.0 GB", "finished"),
    "fill_file": ({"outputs": True}, "file size", "write more than 1.0 MB", "finished"),
    "compute_for_ever": ({"cpu_s": 1, "time_s": 6.0}, "processor time", "its 1 s of processor time", "time"),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.slow if "time_s" in how else ())
        for what, (how, *_) in LIMITED.items()
    ],
)
def test_a_limit_ends_a_worker_and_without_it_the_worker_goes_on(what: str, scene: Scene) -> None:
    how, end, message, end_without = LIMITED[what]
    how = how | ({"outputs": (scene.about["output"],)} if "outputs" in how else {})
    with pytest.raises(ProcessError, match=message):
        scene.attempt(what, **how)
    try:
        scene.attempt(what, layers=ALL_LAYERS - {Layer.LIMITS}, **how)
    except ProcessError as error:
        assert "took longer than" in str(error)  # noqa: PT017
    assert [one.end for one in scene.ends] == [end, end_without]


@pytest.mark.parametrize("what", ["wait_for_ever", "close_answer_and_wait"])
def test_a_worker_that_takes_too_long_is_stopped_and_reaped(what: str, scene: Scene) -> None:
    before = children()
    began = time.monotonic()
    with pytest.raises(ProcessError, match="it took longer than 2 seconds"):
        scene.attempt(what, time_s=2.0)
    assert time.monotonic() - began < 30
    assert children() <= before


def children() -> set[str]:
    """Return the processes that this thread started and has not reaped, those of other tests among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize(
    ("what", "end", "message"),
    [
        ("crash", "crashed", "ended by the signal SIGABRT, without an answer"),
        ("fail", "crashed", "failed with ZeroDivisionError: nothing is left"),
        ("answer_twice", "crashed", "the answer of the worker is not valid"),
    ],
)
def test_an_end_without_a_result_is_one_clear_error(what: str, end: str, message: str, scene: Scene) -> None:
    with pytest.raises(ProcessError, match=message):
        scene.attempt(what)
    assert [one.end for one in scene.ends] == [end]


def test_a_worker_of_another_biofm_does_not_begin(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(biofm, "__file__", "/elsewhere/biofm/__init__.py")
    with pytest.raises(RefusedError, match="and not that of /elsewhere/biofm"):
        scene.attempt("read_granted")
    assert [one.end for one in scene.ends] == ["refused"]


def test_a_job_that_a_pipe_does_not_take_at_once_is_refused(scene: Scene) -> None:
    with pytest.raises(ProcessError, match=r"told of too many files or options at once \(1\.\d MB\)"):
        scene.attempt("read_granted", about={"long": "x" * 1_100_000})


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpu_s": 0},
        {"memory_bytes": LEAST_MEMORY_BYTES - 1},
        {"file_bytes": -1},
        {"ports": (70_000,)},
        {"outputs": ("relative",)},
        {"devices": ("nvidia0",)},
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Grant(**({"cpu_s": 1, "memory_bytes": LEAST_MEMORY_BYTES, "file_bytes": 0} | wrong))


RUN_UNTIL_KILLED = """
import json, sys
from biofm.gate.confinement import Grant, Worker
from tests.gate.confinement.attempts import Attempt, Outcome
grant = Grant(cpu_s=60, memory_bytes=4 * 10**9, file_bytes=1 << 20, outputs=(sys.argv[1],))
worker = Worker(module="tests.gate.confinement.attempts", grant=grant, time_s=600)
with worker.run(Attempt("tell_pid_and_wait", json.dumps({"output": sys.argv[1]})), Outcome):
    pass
"""


def test_a_worker_ends_with_a_parent_that_is_killed(start_python: StartProcess, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    told.touch()
    parent = start_python(RUN_UNTIL_KILLED, told)
    wait_until(lambda: told.read_text() != "" or parent.poll() is not None)
    pid = int(told.read_text())
    assert Path(f"/proc/{pid}").exists()
    parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid))


def wait_until(is_so: Any) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        os.sched_yield()


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


UNCONFINED = """
import sys, threading
{first}
from biofm.core.errors import RefusedError
from biofm.gate.confinement import Grant, confine
try:
    confine(Grant(cpu_s=60, memory_bytes=4 * 10**9, file_bytes=0))
except RefusedError as error:
    print(error)
else:
    print("confined", open("/proc/self/status").read().count("NoNewPrivs:\\t1"))
"""


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("pass", "confined 1"),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "the worker has 2 threads"),
        ("import numpy", "the worker imported numpy before it was confined"),
        ("sys.modules['torch'] = sys", "the worker imported torch before it was confined"),
    ],
)
def test_what_could_escape_is_not_confined_but_refused(
    first: str, message: str, start_python: StartProcess
) -> None:
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # else numpy starts others
    out, err = start_python(UNCONFINED.format(first=first), variables=one_thread).communicate()
    assert message in out, err


def test_a_worker_is_started_where_no_code_of_the_user_runs_before(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("sitecustomize", "usercustomize", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    monkeypatch.chdir(tmp_path)
    assert scene.attempt("read_granted") == "the granted text"


def test_the_module_of_a_worker_is_found_without_the_rest_of_its_checkout(scene: Scene) -> None:
    assert Worker(module=MODULE, grant=scene.worker().grant, time_s=1).module in sys.modules
    with pytest.raises(RefusedError):
        scene.attempt("read", about={"path": str(Path(__file__).parents[3] / "pyproject.toml")})
