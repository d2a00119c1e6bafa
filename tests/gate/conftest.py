"""Every test of the gate has a ledger of its own."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from biofm.api.request import VERBS
from biofm.gate import policies, principal_of_account, system
from biofm.policy import Request, Target
from tests.conftest import StartProcess

NOBODY = 65534

MakeRequest = Callable[..., Request]


@pytest.fixture(autouse=True)
def _own_ledger_of_test(state_folder: Path) -> None:
    """Give the test a ledger of its own."""


@pytest.fixture
def make_request() -> MakeRequest:
    """Return a function that builds a person's request to embed. Its role ``input`` is read once."""

    def make(
        reads: dict[str, Path | tuple[Path, ...]] | None = None,
        writes: dict[str, Target] | None = None,
        **other: Any,
    ) -> Request:
        files = {
            role: paths if isinstance(paths, tuple) else (paths,) for role, paths in (reads or {}).items()
        }
        usual: dict[str, Any] = {"verb": "embed", "principal": principal_of_account(), "options": {}}
        usual |= {"verbs": VERBS, "once": frozenset({"input"}), "hosts": (), "sends": frozenset()}
        usual |= {"code": (), "device": "", "model": ""}
        return Request(reads=files, writes=writes or {}, **(usual | other))

    return make


@pytest.fixture
def start_python(start_process: StartProcess) -> StartProcess:
    """Return a function that starts a script with arguments in a separate Python process."""
    return partial(start_process, sys.executable, "-c")


@pytest.fixture
def plain_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of an ordinary user, who also runs the test, because root ignores permissions."""
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


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Give the test a system's file and an account's file of its own; there is neither yet."""
    file, account = tmp_path / "etc" / "policy.yaml", tmp_path / "config" / "biofm" / "policy.yaml"
    for path in (file, account):
        path.parent.mkdir(parents=True)
    monkeypatch.setattr(system, "SYSTEM_FILE", file)
    monkeypatch.setattr(system, "home_of_account", lambda: str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BIOFM_POLICY", raising=False)
    yield file, account
    assert policies._NAMED == []
