"""What goes to standard output and what to standard error, and how a real process ends."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

import biofm as package
from biofm.api.loading import DEMONSTRATION
from biofm.cli.main import with_file_named

Start = Callable[..., "subprocess.Popen[bytes]"]

FASTA = b">a\nMKTAYIAKQR\n>b\nmvlspadktn*\n>c\nMKJ\n"


def test_a_fault_in_the_middle_of_a_file_is_one_line_on_standard_error(start: Start, tmp_path: Path) -> None:
    records = b"".join(b">p%d\nMKT\n" % i for i in range(1, 5000))
    (tmp_path / "in.fasta").write_bytes(records + b">last\nMK1T\n>more\nMKT\n")

    with start("embed", "in.fasta", "-o", "out.csv", stdout=subprocess.PIPE) as run:
        out, err = run.communicate()

    assert (run.returncode, out) == (1, b"")
    assert err.startswith(b"biofm: in.fasta, record 5000 (last): position 3 holds '1'")
    assert err.count(b"\n") == 1, err.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["in.fasta"]


@pytest.fixture
def many(tmp_path: Path) -> None:
    """A file ``many.h5ad`` of 200 proteins: 20 neighbours of each are more than a pipe holds."""
    values = np.random.default_rng(20).random((200, 2), dtype=np.float32)
    frame = pd.DataFrame(index=[f"protein-{i}" for i in range(200)])
    anndata.AnnData(values, obs=frame).write_h5ad(tmp_path / "many.h5ad")


PRINTING = [["--version"], ["neighbours", "many.h5ad", "--top", "20"]]


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_who_leaves_hears_no_complaint(words: list[str], start: Start, many: None) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(*words, stdout=writing) as run:
        os.close(writing)
        _, err = run.communicate()

    assert (run.returncode, err) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
@pytest.mark.parametrize("words", [*PRINTING, ["merge", "--help"], ["models"]])
def test_a_full_disk_under_standard_output_is_one_line(words: list[str], start: Start, many: None) -> None:
    with open("/dev/full", "wb") as full, start(*words, stdout=full) as run:
        _, err = run.communicate()

    assert run.returncode == 1
    assert err.startswith(b"biofm: standard output: nothing can be written there (No space left on device).")
    assert err.count(b"\n") == 1, err.decode()


WITHOUT_PRIVILEGES = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"] if os.geteuid() == 0 else []
"""What starts a process that obeys permissions, as those of root otherwise do not."""


@pytest.mark.parametrize(
    "words",
    [
        ["finetune", "t.csv", "--column", "s", "--target", "y", "-o", "shut/run"],
        ["predict", "in.fasta", "--predictor", "shut/p", "-o", "out.csv"],
    ],
)
@pytest.mark.skipif(
    bool(WITHOUT_PRIVILEGES) and shutil.which("setpriv") is None, reason="root, and no setpriv here"
)
def test_a_folder_that_may_not_be_entered_is_one_line_with_its_path_and_a_remedy(
    words: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in.fasta").write_bytes(FASTA)
    (tmp_path / "t.csv").write_text("s,y\nMKT,1\n")
    (tmp_path / "shut").mkdir(mode=0o000)

    run = subprocess.run(
        [*WITHOUT_PRIVILEGES, sys.executable, "-m", "biofm.cli", *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert line.startswith("biofm: shut/")
    assert ": permission denied. Check the permissions of it and of the folders above it (ls -ld" in line


@pytest.mark.parametrize("words", [["embed", "./-", "-o", "out.csv"], ["models"], ["info"]])
def test_a_current_folder_that_was_removed_is_one_line(words: list[str], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir ../gone && exec "$@"'

    run = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-m", "biofm.cli", *words],
        cwd=gone, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PWD": str(gone)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    assert line == (
        f"biofm: the current folder {gone} is gone, or may not be read. Go to a folder that is there, with cd"
    )


def test_notices_and_summary_go_to_standard_error(biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA)

    outcome = biofm("embed", "p.fasta", "-o", "out.npz", "--dtype", "float32")

    assert (outcome.status, outcome.out) == (0, "")
    d_model = package.info().d_model
    lines = outcome.err.splitlines()
    assert lines[:5] == [
        "notice: sequences upper-cased: 1",
        "notice: sequences whose trailing * was dropped: 1",
        "notice: residues read as <unk>: 1",
        f"notice: {DEMONSTRATION.format('protein-nano')}",
        "Computed in float32 on cpu: set by dtype or by the command's default.",
    ]
    assert lines[5].startswith("3 proteins, 23 residues, ")
    assert lines[6] == f"Wrote 3 rows of {d_model} numbers to out.npz."


def test_skipped_records_are_counted_in_the_json_too(biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA + b">d\n\n>e\nMK7\n")

    outcome = biofm("embed", "p.fasta", "-o", "out.npz", "--on-error", "skip", "--json")

    summary = json.loads(outcome.out)
    assert summary["notices"]["records skipped"] == 2
    assert summary["n_sequences"] == 3
    assert "notice: records skipped: 2" in outcome.err


def test_at_a_fault_stop_is_the_word_and_the_default(biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA + b">d\nMK7\n")

    typed = biofm("embed", "p.fasta", "-o", "out.npz", "--on-error", "stop")
    silent = biofm("embed", "p.fasta", "-o", "out.npz")

    assert typed == silent
    assert typed.status == 1
    assert biofm("embed", "p.fasta", "-o", "out.npz", "--on-error", "raise").status == 2


@pytest.mark.parametrize("words", [["models"], ["info"]])
def test_a_listing_and_its_json_are_alone_on_standard_output(words: list[str], biofm: Any) -> None:
    plain, as_json = biofm(*words), biofm(*words, "--json")

    assert (plain.status, plain.err, as_json.status, as_json.err) == (0, "", 0, "")
    assert "protein-nano" in plain.out
    assert "protein-nano" in json.dumps(json.loads(as_json.out))


def test_neighbours_print_a_table_and_say_where_the_picture_is(biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA)
    biofm("embed", "p.fasta", "-o", "p.h5ad")

    outcome = biofm("neighbours", "p.h5ad", "--top", "2", "-o", "map.svg")

    header, *rows = outcome.out.splitlines()
    assert header.split() == ["protein", "rank", "nearest", "cosine"]
    assert [row.split()[0] for row in rows] == ["a", "a", "b", "b", "c", "c"]
    assert all(-1 <= float(row.split()[3]) <= 1 for row in rows)
    assert outcome.err.splitlines()[-1] == "Wrote the picture to map.svg."


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "p.fasta"],
        ["embed", "p.fasta", "-o", "out.npz", "--layer", "last"],
        ["embed", "p.fasta", "-o", "out.npz", "--no-such-option"],
        ["neighbours", "p.h5ad", "--top", "few"],
        ["info", "protein-nano", "esm2-8m"],
    ],
)
def test_wrong_usage_is_told_on_standard_error(words: list[str], biofm: Any) -> None:
    outcome = biofm(*words)

    assert (outcome.status, outcome.out) == (2, "")
    assert "Usage:" in outcome.err


def test_the_version_is_printed(biofm: Any) -> None:
    assert biofm("--version") == (0, f"biofm {package.__version__}\n", "")


def test_a_file_has_the_name_of_standard_input_where_it_says_so(biofm: Any) -> None:
    Path("-").write_text(">a\nMKT\n")
    outcome = biofm("embed", "./-", "-o", "out.npz", "--quiet")
    assert outcome.status == 0, outcome.err
    assert Path("out.npz").exists()


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("./-", "{}"),
        (".//./-", "{}"),
        ("-o./-", "-o{}"),
        ("--output=./-", "--output={}"),
        ("-", "-"),
        ("--output=-", "--output=-"),
        ("./-a", "./-a"),
    ],
)
def test_a_path_to_a_file_of_the_name_of_standard_input_is_kept(word: str, spelled: str) -> None:
    assert with_file_named(word) == spelled.format(Path("-").absolute())
