"""For every test of the gate: a ledger of its own."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from biofm.api.request import VERBS
from biofm.gate import person
from biofm.policy import Request, Target
from tests.conftest import StartProcess

NOBODY = 65534

MakeRequest = Callable[..., Request]


@pytest.fixture(autouse=True)
def _own_ledger_of_test(state_folder: Path) -> None:
    """Every test of the gate has one."""


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
def start_python(start_process: StartProcess) -> StartProcess:
    """Starts a script with arguments in a Python of its own."""
    return partial(start_process, sys.executable, "-c")


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
