"""Every test runs without network, with the tests' own ledger, few threads, one seed and checked shapes.

And what several rooms of the tests use: a ledger of one test alone, processes, a full disk, a clock.
"""

import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from tests import forkserver
from tests.forkserver import ForkServer
from tests.ledgers import open_ledger

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = (ROOT, ROOT / "kernels", ROOT / "datasets")
# Triton compiles the source of its functions as it stands, so files that hold kernels cannot be decorated.
KERNEL_MARK = "@triton.jit"
# beartype knows what ``Self`` is only where it decorates a whole class (PEP 673), so here it admits anything.
TYPE_CHECKER = (
    "beartype.beartype(conf=beartype.BeartypeConf("
    "hint_overrides=beartype.FrozenDict({beartype.typing.Self: object})))"
)
N_THREADS = 2
SEED = 20

Completed = subprocess.CompletedProcess[str]
ReadLedger = Callable[[str], list[tuple[Any, ...]]]
StartProcess = Callable[..., "subprocess.Popen[str]"]

# Read when huggingface_hub is imported, hence here and not in a fixture.
os.environ["HF_HUB_OFFLINE"] = "1"


def _shaped_modules() -> list[str]:
    files = sorted((ROOT / "kernels" / "biofm_kernels").rglob("*.py"))
    modules = (file for file in files if file.name != "__init__.py")
    plain = (file for file in modules if KERNEL_MARK not in file.read_text(encoding="utf-8"))
    return [
        "biofm.nn",
        *(".".join(file.relative_to(ROOT / "kernels").with_suffix("").parts) for file in plain),
    ]


# The shapes that public functions state in their types are checked as the tests call them, and only then.
CHECKS_SHAPES = find_spec("beartype") is not None
if CHECKS_SHAPES:
    import_module("beartype.typing")
    jaxtyping.install_import_hook(_shaped_modules(), TYPE_CHECKER)


def pytest_report_header() -> list[str]:
    data = os.environ.get("BIOFM_TEST_DATA", "not set, tests that need it are skipped")
    shapes = "biofm.nn, biofm_kernels" if CHECKS_SHAPES else "not checked, beartype is not installed"
    return [f"biofm: real data: {data}", f"biofm: shapes checked: {shapes}"]


@pytest.fixture(scope="session", autouse=True)
def _own_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the ledger in a folder of this session, never in the user's."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(min(N_THREADS, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.fixture
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that holds the ledger of this test alone."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def read_ledger(state_folder: Path) -> ReadLedger:
    """Return a function that runs a query on the ledger of this test alone."""

    def read(query: str) -> list[tuple[Any, ...]]:
        with closing(open_ledger(state_folder / "biofm" / "ledger.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    return read


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file grow beyond a mebibyte, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def start_process() -> Iterator[StartProcess]:
    """Starts a command whose Python finds the source roots, its three streams pipes of text, its environment
    this one and the given variables. The fixture kills what still runs at the end.
    """
    started: list[subprocess.Popen[str]] = []
    path = os.pathsep.join(map(str, SOURCE_ROOTS))

    def start(*command: object, variables: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [str(word) for word in command],
            env=os.environ | {"PYTHONPATH": path, **(variables or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


class Clock:
    """Is a clock that stands still until a test sets it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def python_run() -> Callable[..., Completed]:
    """Runs ``python ARGUMENTS`` afresh; its path holds the folders ``first``, then the source roots."""

    def run(*arguments: str, cwd: Path = ROOT, first: tuple[Path, ...] = ()) -> Completed:
        path = os.pathsep.join(str(folder) for folder in (*first, *SOURCE_ROOTS))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def fork_server(_own_ledger: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Return what runs functions in new processes that have imported torch and all that commands import."""
    with forkserver.started(tmp_path_factory.mktemp("streams")) as server:
        yield server


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data that the environment variable BIOFM_TEST_DATA names."""
    folder = os.environ.get("BIOFM_TEST_DATA")
    if not folder:
        pytest.skip("BIOFM_TEST_DATA is not set, so there is no real data to test on")
    path = Path(folder)
    assert path.is_dir(), f"BIOFM_TEST_DATA names {path}, which is not a folder"
    return path


@pytest.fixture
def _unchecked_shapes() -> Iterator[None]:
    """Check no shapes inside torch's compiler, which cannot read that code and has symbols for sizes."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Keep bytes out of test names: gzip writes the time into them, and parallel processes compare names."""
    return "bytes" if isinstance(val, bytes) else None
