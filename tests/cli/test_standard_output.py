"""``--output -``: a table on standard output, whole or not at all; what is said of it on standard error."""

import errno
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ForkedBiofm, Outcome, Start

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A protein and variants of it; returns the folder of temporary files."""
    (tmp_path / "p.fasta").write_text(f">a\n{PROTEIN}\n>b, with a comma\nMKT\n")
    (tmp_path / "wt.fasta").write_text(f">a\n{PROTEIN}\n")
    (tmp_path / "v.csv").write_text("mutant,note\nK2R,one\nK2*,two\nA4del,three\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    return temporary


VERBS = {
    "perplexity": ("perplexity", "p.fasta"),
    "score": ("score", "v.csv", "--wild-type", "wt.fasta"),
    "merge": ("merge", "out.csv.shard-1-of-2", "out.csv.shard-2-of-2"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_the_table_is_that_of_a_file_and_nothing_else_is_there(verb: str, forked: ForkedBiofm) -> None:
    if verb == "merge":
        for shard in ("1/2", "2/2"):
            forked.check(*VERBS["score"], "-o", "out.csv", "--shard", shard, "--quiet")
    forked.check(*VERBS[verb], "-o", "file.csv", "--quiet")
    before = sorted(forked.folder.iterdir())
    forked.check(*VERBS[verb], "-o", "-")
    assert forked.out == (forked.folder / "file.csv").read_text()
    assert " to standard output." in forked.err
    assert sorted(forked.folder.iterdir()) == before


def test_a_table_may_come_from_standard_input_and_go_to_standard_output(start: Start, tmp_path: Path) -> None:
    with (tmp_path / "v.csv").open("rb") as piped:
        words = ("score", "-", "--format", "csv", "-w", "wt.fasta", "-o", "-", "--quiet")
        with start(*words, stdin=piped, stdout=subprocess.PIPE) as run:
            out, err = run.communicate()
    assert run.returncode == 0, err.decode()
    assert [line.split(b",")[:2] for line in out.splitlines()] == [
        [b"mutant", b"note"], [b"K2R", b"one"], [b"K2*", b"two"], [b"A4del", b"three"],
    ]  # fmt: skip


def test_a_fault_amid_the_run_leaves_nothing_on_it_and_nothing_behind(
    start: Start, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(files))
    rows = "".join(f"{residue}{i}A\n" for i, residue in enumerate(PROTEIN, 1)) * 130
    (tmp_path / "v.csv").write_text(f"mutant\n{rows}K1A\n")  # beyond the first 2,048 rows
    words = ("score", "v.csv", "-w", "wt.fasta", "-o", "-", "--method", "wt-marginals", "--quiet")
    with start(*words, stdout=subprocess.PIPE) as run:
        out, err = run.communicate()
    assert (run.returncode, out) == (1, b"")
    assert err.startswith(b"biofm: v.csv, line "), err.decode()
    assert err.count(b"\n") == 1, "and no word of --resume"
    assert [path for path in files.iterdir() if not path.name.startswith("torch")] == []


@pytest.mark.parametrize("verb", ["perplexity", "score"])
def test_a_full_disk_under_the_temporary_files_is_one_line(
    verb: str, start: Start, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(files))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # whose ledger is small enough
    (tmp_path / "p.fasta").write_text("".join(f">protein-{i:040}\nMKT\n" for i in range(4000)))
    (tmp_path / "v.csv").write_text("mutant\n" + "K2R\n" * 8000)
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, 100_000))
    with start(*VERBS[verb], "-o", "-", "--quiet", stdout=subprocess.PIPE, preexec_fn=limit) as run:
        out, err = run.communicate()
    assert (run.returncode, out) == (1, b"")
    assert b"TMPDIR" in err, err.decode()
    assert b"--resume" not in err
    assert err.count(b"\n") == 1
    assert [path for path in files.iterdir() if not path.name.startswith("torch")] == []


def test_no_folder_for_temporary_files_is_one_line(
    monkeypatch: pytest.MonkeyPatch, biofm: Callable[..., Outcome], files: Path
) -> None:
    def none_is_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none_is_usable)  # of root, every folder is usable
    outcome = biofm(*VERBS["score"], "-o", "-", "--quiet")
    assert outcome.status == 1
    assert outcome.err.startswith("biofm: TMPDIR: no folder for temporary files can be used"), outcome.err
    assert outcome.err.count("\n") == 1


def test_a_reader_who_leaves_hears_no_complaint(start: Start) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start("perplexity", "p.fasta", "-o", "-", "--quiet", stdout=writing) as run:
        os.close(writing)
        _, err = run.communicate()
    assert run.returncode == 1
    assert b"biofm: " not in err
    assert b"Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_a_full_disk_under_it_is_one_line(start: Start) -> None:
    with Path("/dev/full").open("wb") as full:
        run = start("perplexity", "p.fasta", "-o", "-", "--quiet", stdout=full)
        _, err = run.communicate()
    assert run.returncode == 1
    assert err.startswith(b"biofm: standard output: nothing can be written there (No space left on device).")
    assert err.count(b"\n") == 1, err.decode()


def test_nothing_but_the_table_is_there_when_standard_error_is_closed(start: Start, tmp_path: Path) -> None:
    with start(
        "perplexity", "p.fasta", "-o", "-", stdout=subprocess.PIPE, preexec_fn=partial(os.close, 2)
    ) as run:
        out, _ = run.communicate()
    assert run.returncode == 0
    assert [line.split(b",")[0] for line in out.splitlines()] == [b"id", b"a", b'"b']


def test_a_terminal_is_not_steered_by_a_name(start: Start, tmp_path: Path) -> None:
    (tmp_path / "p.fasta").write_bytes(b">a\x1b]0;owned\x07\nMKT\n")
    terminal, inside = os.openpty()
    run = start("perplexity", "p.fasta", "-o", "-", "--quiet", stdout=inside)
    os.close(inside)
    _, err = run.communicate()
    shown = os.read(terminal, 10_000)
    os.close(terminal)
    assert run.returncode == 0, err.decode()
    assert b"a\\x1b]0;owned" in shown
    assert b"\x1b" not in shown


WRONG = {
    "a summary beside it": (
        ("score", "v.csv", "-w", "wt.fasta", "-o", "-", "--json"),
        "--json: the table and",
    ),
    "work to go on with": (
        ("score", "v.csv", "-w", "wt.fasta", "-o", "-", "--resume"),
        "--resume: a run that writes",
    ),
    "a shard": (
        ("score", "v.csv", "-w", "wt.fasta", "-o", "-", "--shard", "1/2"),
        "--shard: a run that writes to",
    ),
    "embeddings": (("embed", "p.fasta", "-o", "-"), "-: embeddings cannot be written to"),
    "contacts": (
        ("contacts", "p.fasta", "-m", "protein-nano", "-o", "-"),
        "-: contact maps cannot be written to",
    ),
    "writing over": (
        ("perplexity", "p.fasta", "-o", "-", "--overwrite"),
        "--overwrite: standard output has no file",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_go_there_is_one_clear_line(wrong: str, biofm: Any) -> None:
    words, message = WRONG[wrong]
    outcome = biofm(*words)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"biofm: {message}")
    assert outcome.err.count("\n") == 1
