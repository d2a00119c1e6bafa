"""Every wrong input of ``biofm embed`` gives one clear line, status 1, and no file."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

GOOD = b">a\nMKTAYIAKQR\n>b\nMVLSPADKTN\n"
TABLE = b"name,sequence\na,MKTAYIAKQR\n"
BROKEN_GZIP = gzip.compress(GOOD * 200)[:-30]
CORRUPT_GZIP = gzip.compress(os.urandom(2000))[:200] + b"\x00" * 200

# name of the input, its content, further words, what the message must say
WRONG_FILES = {
    "a missing file": ("p.fasta", None, (), ["p.fasta", "no such file"]),
    "an empty file": ("p.fasta", b"", (), ["p.fasta", "empty"]),
    "no records": ("p.fasta", b"\n\n", (), ["p.fasta"]),
    "text before the first record": ("p.fasta", b"MKT\n>a\nMKT\n", (), ["p.fasta", "line 1"]),
    "an empty sequence": ("p.fasta", GOOD + b">c\n>d\nMK\n", (), ["p.fasta", "record 3 (c)", "empty"]),
    "a digit": ("p.fasta", GOOD + b">c\nMK7T\n", (), ["p.fasta", "record 3 (c)", "position 3", "'7'"]),
    "a letter of no alphabet": (
        "p.fasta",
        GOOD + ">c\nMKÄT\n".encode(),
        (),
        ["p.fasta", "record 3 (c)", "position 3", "xc4"],
    ),
    "a binary file": ("p.fasta", b">a\nMK\x00\xff\xfe\n", (), ["p.fasta", "line 2"]),
    "a picture": ("p.fasta", b"\x89PNG\r\n\x1a\n\x00\x00", (), ["p.fasta"]),
    "a truncated gzip": ("p.fasta.gz", BROKEN_GZIP, (), ["p.fasta.gz", "end too early"]),
    "a corrupt gzip": ("p.fasta.gz", CORRUPT_GZIP, (), ["p.fasta.gz", "gzip"]),
    "a gzip in name only": ("p.fasta.gz", GOOD, (), ["p.fasta.gz", "ends in .gz"]),
    "a table without --column": ("p.csv", TABLE, (), ["p.csv", "column"]),
    "a missing column": ("p.csv", TABLE, ("--column", "seq"), ["p.csv", "'seq'", "sequence"]),
    "a missing id column": (
        "p.csv",
        TABLE,
        ("--column", "sequence", "--id-column", "key"),
        ["p.csv", "'key'"],
    ),
    "a ragged row": ("p.csv", TABLE + b"b\n", ("--column", "sequence"), ["p.csv", "line 3"]),
    "an empty cell": ("p.csv", TABLE + b"b,\n", ("--column", "sequence"), ["p.csv", "record 2", "empty"]),
    "a Parquet in name only": ("p.parquet", GOOD, ("--column", "sequence"), ["p.parquet"]),
    "a layer that does not exist": ("p.fasta", GOOD, ("--layer", "9"), ["--layer", "no layer 9", "0"]),
    "a device that does not exist": ("p.fasta", GOOD, ("--device", "abacus"), ["--device", "abacus"]),
    "a window of one": ("p.fasta", GOOD, ("--window", "1"), ["--window", "at least 2"]),
    "a model that does not exist": ("p.fasta", GOOD, ("--model", "esm9"), ["esm9", "no such model"]),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_a_wrong_input_gives_one_clear_line_and_no_file(wrong: str, biofm: Any, tmp_path: Path) -> None:
    name, content, words, message = WRONG_FILES[wrong]
    if content is not None:
        Path(name).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    biofm("embed", name, "--output", "out.npz", "--quiet", *words).check_refusal(message)
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"


WRONG_OUTPUTS = {
    "no suffix": ("out", ["out", ".h5ad"]),
    "an unknown suffix": ("out.xlsx", ["out.xlsx", ".h5ad", ".csv"]),
    "a folder that does not exist": ("nowhere/out.npz", ["nowhere"]),
    "a file where the folder should be": ("p.fasta/out.npz", ["p.fasta"]),
    "an existing file": ("old.npz", ["old.npz", "--overwrite"]),
    "a folder": ("folder.npz", ["folder.npz"]),
}


@pytest.mark.parametrize("wrong", WRONG_OUTPUTS)
def test_a_wrong_output_is_refused_before_any_work(wrong: str, biofm: Any, tmp_path: Path) -> None:
    output, message = WRONG_OUTPUTS[wrong]
    Path("p.fasta").write_bytes(GOOD)
    Path("old.npz").write_bytes(b"precious")
    Path("folder.npz").mkdir()
    before = sorted(tmp_path.iterdir())
    outcome = biofm("embed", "p.fasta", "--output", output, "--model", "no such model is even looked for")
    assert outcome.status == 1
    assert all(part in outcome.err for part in message), outcome.err
    assert sorted(tmp_path.iterdir()) == before
    assert Path("old.npz").read_bytes() == b"precious"


def test_a_failing_run_leaves_the_file_that_it_was_to_overwrite(biofm: Any) -> None:
    Path("p.fasta").write_bytes(GOOD + b">c\n!!\n")
    Path("old.npz").write_bytes(b"precious")
    assert biofm("embed", "p.fasta", "-o", "old.npz", "--overwrite").status == 1
    assert Path("old.npz").read_bytes() == b"precious"


def test_the_output_may_not_be_the_input(biofm: Any) -> None:
    Path("p.csv").write_bytes(TABLE)
    outcome = biofm("embed", "p.csv", "--column", "sequence", "-o", "p.csv", "--overwrite")
    assert outcome.status == 1
    assert "also an input" in outcome.err
    assert Path("p.csv").read_bytes() == TABLE


@pytest.mark.parametrize(
    ("tensor", "replacement", "message"),
    [
        ("esm.encoder.layer.1.output.dense.weight", None, "is missing"),
        ("esm.encoder.layer.1.output.dense.weight", torch.zeros(3, 4), "has shape [3, 4]"),
        ("lm_head.dense.bias", torch.zeros(24, dtype=torch.int64), "torch.int64"),
    ],
)
def test_a_checkpoint_at_fault_names_the_tensor(
    tensor: str,
    replacement: torch.Tensor | None,
    message: str,
    biofm: Any,
    damaged: Callable[[str, torch.Tensor | None], Path],
) -> None:
    Path("p.fasta").write_bytes(GOOD)
    outcome = biofm("embed", "p.fasta", "-o", "out.npz", "--model", damaged(tensor, replacement))
    assert outcome.status == 1
    assert tensor in outcome.err
    assert message in outcome.err
    assert not Path("out.npz").exists()


class Malice:
    """A pickle of this runs a command when it is loaded carelessly."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("name", ["model.pt", "folder/pytorch_model.bin"])
def test_a_pickle_that_is_not_plain_tensors_is_refused_and_not_run(
    name: str, biofm: Any, tiny_esm2: Path
) -> None:
    Path("p.fasta").write_bytes(GOOD)
    Path("folder").mkdir()
    Path("folder/config.json").write_bytes((tiny_esm2 / "config.json").read_bytes())
    torch.save({"weight": torch.zeros(2), "surprise": Malice()}, name)
    outcome = biofm("embed", "p.fasta", "-o", "out.npz", "--model", name.split("/")[0])
    assert outcome.status == 1
    assert "refused" in outcome.err
    assert not Path("ran").exists()


def test_skipping_faulty_records_counts_them(biofm: Any) -> None:
    Path("p.fasta").write_bytes(b">a\nMKT\n>b\n\n>c\nMK7\n>d\nMKV\n")
    outcome = biofm("embed", "p.fasta", "-o", "out.csv", "--on-error", "skip", "--quiet")
    assert outcome.status == 0
    assert "records skipped: 2" in outcome.err
    rows = Path("out.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0].strip(chr(34)) for row in rows] == ["a", "d"]


def test_skipping_everything_is_a_fault(biofm: Any) -> None:
    Path("p.fasta").write_bytes(b">a\n\n>b\n12\n")
    outcome = biofm("embed", "p.fasta", "-o", "out.csv", "--on-error", "skip")
    assert outcome.status == 1
    assert not Path("out.csv").exists()


def test_wrong_usage_has_status_two(biofm: Any) -> None:
    assert biofm("embed").status == 2
    assert biofm("embed", "p.fasta", "-o", "x.npz", "--pool", "median").status == 2
    assert biofm("embroider").status == 2
