"""``biofm embed`` from every kind of input into every kind of output."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biofm as package
from biofm.api.loading import DEMONSTRATION

PROTEINS = [("a", "MKTAYIAKQR"), ("b", "MVLSPADKTNVKAAW"), ("a", "GG"), ("c", "MKTAYIAKQR")]
FASTA = "".join(f">{id_} a protein\n{sequence}\n" for id_, sequence in PROTEINS).encode()
ROOT = Path(__file__).resolve().parents[2]


SUFFIXES = [".h5ad", ".parquet", ".npz", ".safetensors", ".csv"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_every_format_holds_the_rows_of_the_python_twin_in_order(
    suffix: str, biofm: Any, read_table: Any
) -> None:
    Path("p.fasta").write_bytes(FASTA)
    assert biofm("embed", "p.fasta", "-o", f"out{suffix}", "-q").status == 0
    ids, values, provenance = read_table(Path(f"out{suffix}"))
    twin = package.load().embed(PROTEINS)
    assert ids == twin.ids == ["a", "b", "a", "c"]
    np.testing.assert_array_equal(values, twin.values)
    assert provenance["model"] == "protein-nano"
    assert provenance["pooling"] == "mean"
    assert provenance["dtype"] == twin.provenance["dtype"]
    assert len(provenance["sha256"]) == 64
    assert provenance["version"] == package.__version__


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pool_none_writes_a_row_a_residue_in_every_format(suffix: str, biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA)
    outcome = biofm("embed", "p.fasta", "-o", f"out{suffix}", "--pool", "none", "--json", "-q")
    summary = json.loads(outcome.out)
    assert summary["n_rows"] == summary["n_residues"] == sum(len(sequence) for _, sequence in PROTEINS)
    assert Path(f"out{suffix}").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.fasta.gz", gzip.compress(FASTA), ()),
        ("p.csv", b"id,seq\n" + "".join(f"{i},{s}\n" for i, s in PROTEINS).encode(), ("--column", "seq")),
        ("p.tsv", b"id\tseq\n" + "".join(f"{i}\t{s}\n" for i, s in PROTEINS).encode(), ("--column", "seq")),
        ("p.parquet", None, ("--column", "seq", "--id-column", "id")),
    ],
)
def test_every_input_gives_the_same_rows(
    name: str, content: bytes | None, words: tuple[str, ...], biofm: Any, read_table: Any
) -> None:
    if content is None:
        pq.write_table(pa.table({"id": [i for i, _ in PROTEINS], "seq": [s for _, s in PROTEINS]}), name)
    else:
        Path(name).write_bytes(content)
    assert biofm("embed", name, "-o", "out.npz", "-q", *words).status == 0
    ids, values, _ = read_table(Path("out.npz"))
    twin = package.load().embed(PROTEINS)
    assert ids == twin.ids
    np.testing.assert_array_equal(values, twin.values)


def test_standard_input_is_read(
    biofm: Any, read_table: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "p.fasta").write_bytes(FASTA)
    with (tmp_path / "p.fasta").open("rb") as pipe:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        assert biofm("embed", "-", "-o", "out.npz", "-q").status == 0
    assert read_table(Path("out.npz"))[0] == ["a", "b", "a", "c"]


@pytest.mark.parametrize(("word", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_a_table_comes_through_standard_input_where_its_format_is_said(
    word: str, delimiter: str, biofm: Any, read_table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("t").write_text(delimiter.join(("id", "seq")) + "\n")
    with Path("t").open("a") as table:
        table.writelines(f"{name}{delimiter}{sequence}\n" for name, sequence in PROTEINS)
    for said in ((), ("--format", word)):
        with Path("t").open("rb") as pipe:
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
            outcome = biofm("embed", "-", "-o", "out.npz", "-q", "--column", "seq", *said)
        assert (outcome.status == 0) == bool(said)
        assert said or "Name the format" in outcome.err
    ids, values, _ = read_table(Path("out.npz"))
    twin = package.load().embed(PROTEINS)
    assert ids == twin.ids
    np.testing.assert_array_equal(values, twin.values)


def test_a_format_that_the_content_speaks_against_is_told(biofm: Any) -> None:
    Path("p.txt").write_bytes(FASTA)
    outcome = biofm("embed", "p.txt", "-o", "out.npz", "--format", "csv", "--column", "seq")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "--format says CSV but the content is FASTA" in outcome.err


def test_the_json_summary_stands_alone_on_standard_output(biofm: Any) -> None:
    Path("p.fasta").write_bytes(b">a\nmktay*\n>b\nMKJJT\n")
    outcome = biofm("embed", "p.fasta", "-o", "out.npz", "--json")
    summary = json.loads(outcome.out)
    assert summary["n_sequences"] == 2
    assert summary["n_tokens"] == 5 + 5 + 4
    assert summary["dtype_reason"]
    assert summary["notices"] == {
        "sequences upper-cased": 1,
        "sequences whose trailing * was dropped": 1,
        "residues read as <unk>": 2,
        DEMONSTRATION.format("protein-nano"): 1,
    }


def test_a_long_sequence_runs_whole_with_one_notice_or_in_windows(biofm: Any, read_table: Any) -> None:
    Path("p.fasta").write_text(">long\n" + "MKTAYIAKQR" * 60 + "\n")
    whole = json.loads(biofm("embed", "p.fasta", "-o", "whole.npz", "--json").out)
    cut = json.loads(biofm("embed", "p.fasta", "-o", "cut.npz", "--json", "--window", "100").out)
    assert [text for text in whole["notices"] if "run whole" in text]
    assert [text for text in cut["notices"] if "windows of 100" in text]
    assert whole["n_residues"] == cut["n_residues"] == 600
    assert cut["n_tokens"] > whole["n_tokens"]
    assert cut["provenance"]["window"] == 100
    assert not np.array_equal(read_table(Path("whole.npz"))[1], read_table(Path("cut.npz"))[1])


def test_an_esm2_folder_embeds_like_any_model(biofm: Any, read_table: Any, tiny_esm2: Path) -> None:
    Path("p.fasta").write_bytes(FASTA)
    assert biofm("embed", "p.fasta", "-o", "out.npz", "--model", tiny_esm2, "--layer", "1", "-q").status == 0
    _, values, provenance = read_table(Path("out.npz"))
    assert values.shape == (4, 24)
    assert provenance["layer"] == 1


def test_models_and_info_name_the_bundled_model(biofm: Any) -> None:
    assert "protein-nano" in biofm("models").out
    facts = json.loads(biofm("info", "--json").out)
    assert facts["name"] == "protein-nano"
    assert facts["has_head"]


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} {ROOT / 'cli.py'} models | true"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in result.stderr
