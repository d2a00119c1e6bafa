"""Signals of the user, the system and the terminal end a command at any stage and leave no process behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# A signal comes in the very moment in which a program has been started, and before anybody could know of it.
AMID_A_START = """
import os, signal, subprocess, sys, time
from pathlib import Path
import biofm.training.processes.launch
import biofm_datasets.splits.mmseqs as mmseqs
from biofm.training.processes import Processes

before = subprocess.Popen

def started(*words, **options):
    process = before(*words, **options)
    Path("started").write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)
    return process

if "LOCAL_RANK" in os.environ:
    time.sleep(1000)
signal.signal(signal.SIGTERM, lambda *given: sys.exit(7))
subprocess.Popen = started
{what}
time.sleep(10)
"""

SECONDS = 300  # no measure of anything: what has not ended by then hangs

# ``biofm`` that says on standard output when it has come to a function, and goes on with it.
TELLING = """
import importlib, os, signal, sys

for name in ("SIGHUP", "SIGQUIT"):  # which these tests may have been told to ignore
    signal.signal(getattr(signal, name), signal.SIG_DFL)

class Finder:  # says that a package is being imported
    def find_spec(self, name, path, target=None):
        if {place!r} == f"import {{name}}":
            os.write(1, b"there\\n")

def telling(*args, **options):
    os.write(1, b"there\\n")
    return before(*args, **options)

if {place!r}.startswith("import "):
    sys.meta_path.insert(0, Finder())
else:
    module, name = {place!r}.split(":")
    owner = importlib.import_module(module)
    before = getattr(owner, name)
    setattr(owner, name, telling)
sys.argv = ["biofm", *{words!r}]
from biofm.cli import main
main()
"""

Begin = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Starts ``biofm`` with these words in a folder of its own and waits until it is at ``place``."""

    def begin_at(place: str, *words: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", TELLING.format(place=place, words=words)],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n", process.communicate()
        return process

    return begin_at


def end(process: "subprocess.Popen[bytes]", number: int) -> bytes:
    """Send the signal, wait for the end, and look whether any process of its session is left."""
    process.send_signal(number)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number, said
    assert b"Traceback" not in said
    assert is_gone(process.pid)
    return said


def is_gone(group: int) -> bool:
    """Whether all processes of a group have ended, some of which are ending just now. One whose parent has
    not asked for its exit code yet, as init does of orphans, has ended.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        stats = [_fields(path) for path in Path("/proc").glob("[0-9]*/stat")]
        if not any(fields[2:3] == [str(group)] and fields[0] != "Z" for fields in stats):
            return True
        time.sleep(0.1)
    return False


def _fields(stat: Path) -> list[str]:
    """State, parent, group and so on of a process; nothing of one that has just ended."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


LONG = "M" + "ACDEFGHIKLMNPQRSTVWY" * 6000


@pytest.mark.slow
def test_a_signal_ends_the_forward_of_a_long_protein(begin: Begin, tmp_path: Path) -> None:
    """The attention of one of 120,000 residues takes minutes."""
    (tmp_path / "long.fasta").write_text(f">long\n{LONG}\n")
    process = begin("biofm.nn.block:attention", "embed", "long.fasta", "-o", "out.npz", "--quiet")
    end(process, signal.SIGTERM)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    "words", [("-m", "biofm"), (str(Path(__file__).parents[2] / "cli.py"),)], ids=["module", "checkout"]
)
def test_ctrl_c_ends_a_command_that_is_still_being_imported(words: tuple[str, ...], tmp_path: Path) -> None:
    """A package named like the one that the command line needs first says that it is there, and waits."""
    (tmp_path / "typer.py").write_text("import os, time\nos.write(1, b'there\\n')\ntime.sleep(300)\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen(
        [sys.executable, *words, "--help"],
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    assert end(process, signal.SIGINT) == b""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("import torch", ("models",)),
        ("import torch", ("embed", "p.fasta", "-o", "out.npz")),
        ("biofm_datasets.fasta:read_lines", ("data", "prepare", "p.fasta", "-o", "store", "--quiet")),
    ],
    ids=["models", "importing", "reading"],
)
def test_a_signal_ends_a_command_before_it_computes(
    place: str, words: tuple[str, ...], begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "p.fasta").write_text("".join(f">{i}\n{LONG[i : i + 200]}\n" for i in range(100_000)))
    assert end(begin(place, *words), signal.SIGINT).startswith(b"biofm: interrupted")
    assert [path.name for path in tmp_path.iterdir() if path.name != "p.fasta"] in ([], ["store"])


@pytest.mark.slow
def test_a_signal_ends_the_processes_that_prepare_batches(begin: Begin, tmp_path: Path) -> None:
    (tmp_path / "p.fasta").write_text("".join(f">{i}\n{LONG[i : i + 60]}\n" for i in range(40)))
    process = begin(
        "biofm.training.data:_begin_worker", "pretrain", "p.fasta", "-o", "run", "--steps", "100000",
        "--quiet", "--held-out", "0", "--set", "n_workers=2", "--set", "checkpoint_every=100000",
        "--tokens-per-batch", "256",
    )  # fmt: skip
    assert b"--resume" in end(process, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_mmseqs_and_what_it_started(
    number: int, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mmseqs"
    program.write_text("#!/bin/sh\n[ $1 = version ] && exit\necho $$ > started\nsleep 1000 & wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "p.fasta").write_text("".join(f">{i}\n{LONG[i : i + 60]}\n" for i in range(40)))
    process = begin(
        "biofm_datasets.splits.mmseqs:_run", "data", "prepare", "p.fasta", "-o", "store", "--split",
        "identity", "--test", "4", "--split-tool", "mmseqs", "--quiet",
    )  # fmt: skip
    end(process, number)
    if (tmp_path / "started").exists():  # the signal may come first
        assert is_gone(int((tmp_path / "started").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "what",
    [
        'mmseqs._run(["sleep", "1000"], Path())',
        "biofm.training.processes.launch.launch(Processes(0, 2, 2))",
    ],
    ids=["mmseqs", "launch"],
)
def test_a_signal_amid_the_start_of_a_program_ends_it(what: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", AMID_A_START.replace("{what}", what)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    process = Path("/proc") / (tmp_path / "started").read_text() / "stat"
    assert _fields(process)[:1] in ([], ["Z"])
