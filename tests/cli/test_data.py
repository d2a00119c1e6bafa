"""``biofm data`` as a person or a program runs it: what it says, wrong inputs, killed runs."""

import gzip
import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from biofm_datasets.store import open_store
from pyarrow import parquet

from biofm.cli import main
from biofm.corpus import reading, writing
from biofm.modalities import STANDARD_RESIDUES
from tests.datasets.store.conftest import content_of
from tests.datasets.store.killing import run_until

FASTA = ">a\nMKTAYIAKQR\n>b\nMVLSPADKTN\n>c\nMKT\n"
TABLE = "id,seq,set,family\nx,MKTAYIAKQR,train,f\ny,MVLSPADKTN,test,g\nz,MKLVT,val,h\n"

# the file, its content, further words, what the message must say
WRONG: dict[str, tuple[str, bytes | str | None, tuple[str, ...], list[str]]] = {
    "a missing file": ("p.fasta", None, (), ["p.fasta", "no such file"]),
    "an empty file": ("p.fasta", "", (), ["p.fasta", "empty"]),
    "no records": ("p.fasta", "\n\n", (), ["p.fasta"]),
    "an empty sequence": ("p.fasta", FASTA + ">d\n\n", (), ["p.fasta, record 4 (d)", "empty"]),
    "a digit": ("p.fasta", FASTA + ">d\nMK7T\n", (), ["p.fasta, record 4 (d)", "position 3 holds '7'"]),
    "a binary file": ("p.fasta", b">a\nMK\x00\xff\n", (), ["p.fasta, line 2"]),
    "a truncated gzip": ("p.fasta.gz", gzip.compress(FASTA.encode() * 999)[:-9], (), ["end too early"]),
    "nothing but faults": ("p.fasta", ">a\n7\n", ("--on-error", "skip"), ["p.fasta: every record"]),
    "standard input": ("-", None, (), ["-: data sets are read from files"]),
    "a table without --column": ("p.csv", TABLE, (), ["p.csv", "--column"]),
    "a missing column": ("p.csv", TABLE, ("--column", "s"), ["p.csv", "no column 's'", "seq"]),
    "a missing id column": ("p.csv", TABLE, ("--column", "seq", "--id-column", "k"), ["no column 'k'"]),
    "a column of FASTA": ("p.fasta", FASTA, ("--column", "s"), ["p.fasta", "FASTA has no columns"]),
    "a ragged row": ("p.csv", TABLE + "b\n", ("--column", "seq"), ["p.csv, line 5"]),
    "a Parquet in name only": ("p.parquet", FASTA, ("--column", "s"), ["p.parquet"]),
    "two weights": ("p.fasta", FASTA, ("--weight", "1", "--weight", "2"), ["2 weights for 1 input"]),
    "a weight of zero": ("p.fasta", FASTA, ("--weight", "0"), ["--weight", "0.0 is no positive number"]),
    "an amount that is none": ("p.fasta", FASTA, ("--split", "random", "--test", "1.5"), ["--test", "1.5"]),
    "nothing held out": ("p.fasta", FASTA, ("--split", "random"), ["--split random", "--validation 0.05"]),
    "too much held out": ("p.fasta", FASTA, ("--split", "random", "--test", "3"), ["3 of 3 sequences"]),
    "too few long enough": (
        "p.fasta", FASTA, ("--split", "identity", "--test", "1"), ["of 0 sequences of 30 to 1,022 residues"],
    ),
    "a column that is not there": (
        "p.csv", TABLE, ("--column", "seq", "--split", "column", "--split-column", "part"),
        ["no column 'part'"],
    ),
    "a column of other words": (
        "p.csv", TABLE, ("--column", "seq", "--split", "column", "--split-column", "family"),
        ["p.csv, record 1 (x)", "column 'family' holds 'f'", "train"],
    ),
    "a column of FASTA that splits": (
        "p.fasta", FASTA, ("--split", "column", "--split-column", "set"), ["p.fasta", "FASTA has no columns"],
    ),
    "a group that is not there": (
        "p.csv", TABLE,
        ("--column", "seq", "--split", "group", "--split-column", "family", "--test-group", "k"),
        ["names no group 'k'"],
    ),
    "a row without a group": (
        "p.csv", TABLE + "w,MK,train,\n",
        ("--column", "seq", "--split", "group", "--split-column", "family", "--test-group", "g"),
        ["p.csv, record 4 (w)", "column 'family' is empty"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_no_store(wrong: str, biofm: Any, tmp_path: Path) -> None:
    name, content, words, message = WRONG[wrong]
    if content is not None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.iterdir())
    biofm("data", "prepare", name, "-o", "store", "--quiet", *words).check_refusal(message)
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"


def test_wrong_usage_has_status_two(biofm: Any) -> None:
    assert biofm("data", "prepare").status == 2
    assert biofm("data", "prepare", "p.fasta").status == 2
    assert biofm("data", "prepare", "p.fasta", "-o", "s", "--split", "scaffold").status == 2


@pytest.fixture
def store(biofm: Any, tmp_path: Path) -> Path:
    Path("p.fasta").write_text(FASTA)
    assert biofm("data", "prepare", "p.fasta", "-o", "store").status == 0
    return tmp_path / "store"


# what lies in the output folder besides a store, further words, what the message must say
WRONG_OUTPUTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], list[str]]] = {
    "a store": (lambda folder: None, (), ["this folder already holds a store", "--overwrite"]),
    "a store prepared otherwise": (
        lambda folder: None,
        ("--resume", "--split", "random", "--test", "1"),
        ["from other inputs or with other options"],
    ),
    "other files": (
        lambda folder: (folder / "store.json").rename(folder / "letter"),
        (),
        ["the folder is not empty"],
    ),
    "other files to resume": (
        lambda folder: (folder / "store.json").rename(folder / "letter"),
        ("--resume",),
        ["no work that could be resumed"],
    ),
}


@pytest.mark.parametrize("wrong", WRONG_OUTPUTS)
def test_what_lies_there_is_not_written_over(wrong: str, store: Path, biofm: Any) -> None:
    change, words, message = WRONG_OUTPUTS[wrong]
    change(store)
    before = content_of(store)
    outcome = biofm("data", "prepare", "p.fasta", "-o", "store", *words)
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert all(part in outcome.err for part in message), outcome.err
    assert content_of(store) == before


@pytest.mark.parametrize("output", ["p.fasta", "nowhere/store", "p.fasta/store"])
def test_a_place_where_no_folder_can_be_is_named(output: str, biofm: Any) -> None:
    Path("p.fasta").write_text(FASTA)
    outcome = biofm("data", "prepare", "p.fasta", "-o", output)
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert Path("p.fasta").read_text() == FASTA


def test_a_failing_run_leaves_the_store_that_it_was_to_replace(store: Path, biofm: Any) -> None:
    before = content_of(store)
    Path("bad.fasta").write_text(FASTA + ">d\n7\n")
    assert biofm("data", "prepare", "bad.fasta", "-o", "store", "--overwrite").status == 1
    assert content_of(store) == before


def test_a_store_is_replaced_where_that_is_asked_for(store: Path, biofm: Any) -> None:
    Path("new.fasta").write_text(FASTA * 2)
    assert biofm("data", "prepare", "new.fasta", "-o", "store", "--overwrite").status == 0
    assert len(open_store(store, verify=True)) == 6


def test_a_person_gets_a_table_and_the_notices(biofm: Any) -> None:
    Path("a.fasta").write_text(FASTA.lower() + ">d\n7\n")
    Path("b.fasta").write_text(FASTA)
    words = ("--weight", "3", "--weight", "1", "--split", "random", "--test", "0.4", "--on-error", "skip")
    outcome = biofm("data", "prepare", "a.fasta", "b.fasta", "-o", "store", *words)
    assert outcome.status == 0
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["input", "sequences", "residues", "share", "of", "draws"],
        ["a.fasta", "3", "23", "75.0%"],
        ["b.fasta", "3", "23", "25.0%"],
    ]
    assert "notice: sequences upper-cased: 3" in outcome.err
    assert "notice: records skipped: 1" in outcome.err
    assert "Split by random: 4 train, 0 validation, 2 test." in outcome.err
    assert re.search(r"Wrote 6 sequences in \d+\.\d s to store\.\n", outcome.err)


def test_a_program_gets_json_and_nothing_else_on_standard_output(biofm: Any) -> None:
    Path("p.csv").write_text(TABLE)
    words = ("--column", "seq", "--split", "column", "--split-column", "set")
    outcome = biofm("data", "prepare", "p.csv", "-o", "store", "--json", "--quiet", *words)
    summary = json.loads(outcome.out)
    assert outcome.err == ""
    assert summary["split"]["counts"] == {"train": 1, "validation": 1, "test": 1, "removed": 0}
    assert summary["sources"][0]["name"] == "p.csv"
    assert summary["sha256"] == open_store("store").sha256


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_are_read_with_their_names_and_groups(suffix: str, biofm: Any) -> None:
    rows = [line.split(",") for line in TABLE.splitlines()]
    if suffix == ".parquet":
        columns = {name: list(cells) for name, *cells in zip(*rows, strict=True)}
        parquet.write_table(pa.table(columns), "p.parquet")
    else:
        text = "\n".join(("\t" if suffix == ".tsv" else ",").join(row) for row in rows)
        Path(f"p{suffix}").write_text(text)
    words = ("--column", "seq", "--split", "group", "--split-column", "family", "--test-group", "h")
    assert biofm("data", "prepare", f"p{suffix}", "-o", "store", *words).status == 0
    store = open_store("store", verify=True)
    assert list(store.ids) == ["x", "y", "z"]
    assert store.split["test"].tolist() == [2]
    assert store.record.split.parameters["n_groups"] == {"train": 2, "validation": 0, "test": 1}


def test_tables_and_fasta_are_prepared_together(biofm: Any) -> None:
    Path("p.csv").write_text(TABLE)
    Path("p.fasta").write_text(FASTA)
    assert biofm("data", "prepare", "p.csv", "p.fasta", "-o", "store", "--column", "seq").status == 0
    assert list(open_store("store").ids) == ["x", "y", "z", "a", "b", "c"]


def write_many(path: Path, n: int = 120) -> None:
    """Proteins of which some are in lower case and some are at fault."""
    rng = np.random.default_rng(0)
    residues = list(STANDARD_RESIDUES)
    proteins = ["".join(rng.choice(residues, rng.integers(30, 60))) for _ in range(n)]
    proteins[10:110:20] = [protein.lower() for protein in proteins[10:110:20]]
    proteins[5:115:20] = ["7"] * len(proteins[5:115:20])
    path.write_text("".join(f">p{i}\n{protein}\n" for i, protein in enumerate(proteins)))


COMMAND = ("data", "prepare", "a.fasta", "b.fasta", "-o", "store", "--on-error", "skip", "--quiet")
SPLIT = ("--split", "identity", "--test", "5", "--split-tool", "kmer")


def run_here(folder: Path, *words: str) -> None:
    """The command in a fork, with blocks and commits so small that there are several."""
    os.chdir(folder)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.stderr = os.fdopen(2, "w")
    sys.argv = ["biofm", *words]
    try:
        main()
    finally:
        sys.stderr.flush()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_RESIDUES", 500)
    monkeypatch.setattr(writing, "COMMIT_TOKENS", 2000)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow; it guards against more than kills


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_killed_at_any_point_and_resumed_gives_the_same_bytes(step: int, tmp_path: Path) -> None:
    expected: dict[str, str] = {}
    for moment in chain([-1], count(0, step)):
        folder = tmp_path / str(moment)
        folder.mkdir()
        write_many(folder / "a.fasta")
        write_many(folder / "b.fasta", n=90)
        status = run_until(moment, lambda folder=folder: run_here(folder, *COMMAND, *SPLIT))  # type: ignore[misc]
        if status == 0 and expected:
            break
        if status == -signal.SIGKILL:
            again = run_until(-1, lambda folder=folder: run_here(folder, *COMMAND, *SPLIT, "--resume"))  # type: ignore[misc]
            assert again == 0, (folder / "said").read_text()
        expected = expected or content_of(folder / "store")
        assert content_of(folder / "store") == expected
        assert "records skipped: 11" in (folder / "said").read_text()
    assert moment > 40, "the run changes its state in many places"


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_says_how_to_go_on(number: int, status: int, tmp_path: Path) -> None:
    write_many(tmp_path / "a.fasta")
    write_many(tmp_path / "b.fasta", n=90)
    said = tmp_path / "said"
    assert run_until(20, lambda: run_here(tmp_path, *COMMAND), number) == status
    assert re.fullmatch(
        r"biofm: interrupted\. \d+ sequences done and kept: repeat the command with --resume to continue\n",
        said.read_text(),
    )
    assert run_until(-1, lambda: run_here(tmp_path, *COMMAND)) == 1
    assert re.search(r"store: there is an unfinished store here \(\d+ sequences done\)", said.read_text())
    other = (*COMMAND, "--resume", "--weight", "1", "--weight", "2")
    assert run_until(-1, lambda: run_here(tmp_path, *other)) == 1
    assert "had other settings: weights was  and is now 1.0, 2.0" in said.read_text()
    assert run_until(-1, lambda: run_here(tmp_path, *COMMAND, "--resume")) == 0
    assert re.search(r"Resumed: [1-9]\d* of 199 sequences were already read\.\n", said.read_text())
    assert len(open_store(tmp_path / "store", verify=True)) == 199


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_full_disk_is_one_line_and_what_is_done_is_kept(tmp_path: Path) -> None:
    write_many(tmp_path / "a.fasta", n=1200)
    write_many(tmp_path / "b.fasta", n=90)

    def run_out_of_space() -> None:
        os.environ["XDG_STATE_HOME"] = str(tmp_path / "state")  # a short ledger
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
        run_here(tmp_path, *COMMAND)

    assert run_until(-1, run_out_of_space) == 1
    said = (tmp_path / "said").read_text()
    assert re.fullmatch(
        r"biofm: store: writing failed \(File too large\)\. .*--resume to continue\n", said
    ), said
    assert run_until(-1, lambda: run_here(tmp_path, *COMMAND, "--resume")) == 0
    assert len(open_store(tmp_path / "store", verify=True)) == 1279


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_run_whose_input_has_changed_does_not_go_on(tmp_path: Path) -> None:
    write_many(tmp_path / "a.fasta")
    write_many(tmp_path / "b.fasta", n=90)
    assert run_until(20, lambda: run_here(tmp_path, *COMMAND)) == -signal.SIGKILL
    write_many(tmp_path / "b.fasta", n=91)
    assert run_until(-1, lambda: run_here(tmp_path, *COMMAND, "--resume")) == 1
    assert "had other settings: sha256" in (tmp_path / "said").read_text()


# the words, what the message must say
WRONG_DESCRIPTIONS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "a missing file": (("q.fasta",), ["q.fasta", "no such file"]),
    "a folder that is no store": (("folder",), ["folder", "this is no store"]),
    "an unfinished store": (("unfinished",), ["unfinished", "--resume"]),
    "a damaged store": (("damaged",), ["tokens.safetensors", "too short"]),
    "a store that lacks a file": (("lacking",), ["split.safetensors", "no such file"]),
    "a store and a file": (("store", "p.fasta"), ["store", "a store must be the only input"]),
    "a column of a store": (("store", "--column", "seq"), ["store", "a store has no columns"]),
    "standard input": (("-",), ["-: data sets are read from files"]),
    "a table without --column": (("p.csv",), ["p.csv", "--column"]),
    "a faulty record": (
        ("bad.fasta",),
        ["bad.fasta, record 4 (d)", "the text is a number (7), not a sequence"],
    ),
    "a negative sample": (("store", "--sample", "-1"), ["--sample", "-1 is too small"]),
    "a picture of no format": (("store", "--picture", "x.jpg"), ["x.jpg", ".png"]),
    "a picture that exists": (("store", "--picture", "p.fasta.png"), ["p.fasta.png", "--overwrite"]),
}


@pytest.mark.parametrize("wrong", WRONG_DESCRIPTIONS)
def test_what_cannot_be_described_gives_one_clear_line(
    wrong: str, store: Path, biofm: Any, tmp_path: Path
) -> None:
    words, message = WRONG_DESCRIPTIONS[wrong]
    Path("p.csv").write_text(TABLE)
    Path("bad.fasta").write_text(FASTA + ">d\n7\n")
    Path("p.fasta.png").write_bytes(b"precious")
    for name in ("damaged", "lacking"):
        shutil.copytree(store, name)
    os.truncate("damaged/tokens.safetensors", 4100)
    Path("lacking/split.safetensors").unlink()
    Path("folder").mkdir()
    Path("unfinished/.unfinished").mkdir(parents=True)
    before = content_of(tmp_path)
    biofm("data", "describe", *words, "--quiet").check_refusal(message)
    assert content_of(tmp_path) == before


def test_a_description_is_a_table_for_people(biofm: Any) -> None:
    Path("p.csv").write_text(TABLE + "v,MKLVT,train,f\n")
    words = ("--column", "seq", "--split", "column", "--split-column", "set")
    assert biofm("data", "prepare", "p.csv", "-o", "store", *words).status == 0
    outcome = biofm("data", "describe", "store", "--picture", "p.png")
    assert outcome.status == 0, outcome.err
    assert [line.split()[:1] for line in outcome.out.splitlines()][:2] == [["input"], ["p.csv"]]
    assert "median 8, " in outcome.out
    assert "all are of the 20 amino acids" in outcome.out
    assert "split by column         2 train, 1 validation, 1 test" in outcome.out
    assert "validation in training  1 of 1 is a copy\n" in outcome.out
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert outcome.err.endswith("Wrote the picture to p.png.\n")


def test_a_description_is_json_for_programs(store: Path, biofm: Any) -> None:
    outcome = biofm("data", "describe", "store", "--json", "--quiet")
    found = json.loads(outcome.out)
    assert outcome.err == ""
    assert (found["n_sequences"], found["n_distinct"], found["split"]) == (3, 3, {})
    assert found["sources"][0]["name"] == "p.fasta"


def test_skipped_records_are_not_described(biofm: Any) -> None:
    Path("p.fasta").write_text(FASTA + ">d\n7\n")
    outcome = biofm("data", "describe", "p.fasta", "--on-error", "skip", "--json")
    assert "notice: records skipped: 1" in outcome.err
    assert json.loads(outcome.out)["n_sequences"] == 3
