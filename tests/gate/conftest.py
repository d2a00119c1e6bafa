"""For every test of the gate: a ledger of its own."""

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from biofm.api.request import VERBS
from biofm.gate import person
from biofm.policy import Request, Target

NOBODY = 65534

MakeRequest = Callable[..., Request]
StartPython = Callable[..., "subprocess.Popen[str]"]
ReadLedger = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files cannot grow beyond a mebibyte, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def make_request() -> MakeRequest:
    """Builds a person's request to embed, of single reads and writes by role, of which ``input`` is read
    once.
    """

    def make(
        reads: dict[str, Path | tuple[Path, ...]] | None = None,
        writes: dict[str, Target] | None = None,
        **other: Any,
    ) -> Request:
        files = {
            role: paths if isinstance(paths, tuple) else (paths,) for role, paths in (reads or {}).items()
        }
        usual: dict[str, Any] = {"verb": "embed", "principal": person(), "options": {}}
        usual |= {"verbs": VERBS, "once": frozenset({"input"})}
        return Request(reads=files, writes=writes or {}, **(usual | other))

    return make


@pytest.fixture
def read_ledger(state_folder: Path) -> ReadLedger:
    """Runs a query on the ledger."""

    def read(query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(state_folder / "biofm" / "ledger.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    return read


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Starts a script with arguments in a Python of its own; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def plain_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of an ordinary user, who is also the one running the test: root passes over permissions."""
    if sys.platform == "win32":
        pytest.skip("permissions are another matter on Windows")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
