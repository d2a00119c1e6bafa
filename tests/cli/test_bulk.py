"""Shards, going on, computing once, and estimates, as a user meets them."""

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from biofm_datasets.ids import REPEATED_IDS

from biofm.inference.runs import intake

OPTIONS = ("--tokens-per-batch", "8", "--dtype", "float32", "--quiet")
SUFFIXES = [".h5ad", ".parquet", ".npz", ".safetensors", ".csv"]
AT_FAULT = ">last\nMK7\n"
N_IDS = 7

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")

Embed = Callable[..., Any]


def proteins(n: int, seed: int = 20) -> str:
    """FASTA in which ids and sequences repeat."""
    generator = random.Random(seed)
    sequences = ["".join(generator.choices("ACDEFGHIKL", k=generator.randint(1, 30))) for _ in range(n)]
    return "".join(f">p{i % N_IDS}\n{generator.choice(sequences)}\n" for i in range(n))


@pytest.fixture
def embed(biofm: Any, tiny_esm2: Path, monkeypatch: pytest.MonkeyPatch) -> Embed:
    """Runs ``biofm embed in.fasta`` with these words; chunks are done before what follows has been read."""
    monkeypatch.setattr(intake, "AHEAD_BYTES", 0)
    return lambda *words: biofm("embed", "in.fasta", "--model", tiny_esm2, *OPTIONS, *words)


@pytest.fixture
def unfinished(embed: Embed) -> str:
    """What is left by a run to ``out.npz`` that met a faulty record; the start of its input."""
    text = proteins(60)
    Path("in.fasta").write_text(text + AT_FAULT)
    outcome = embed("-o", "out.npz")
    assert outcome.status == 1
    assert [path.name for path in Path().glob("*out*")] == [".out.npz.run"]
    return text


def test_a_run_stopped_by_a_fault_goes_on_once_that_is_mended(
    unfinished: str, embed: Embed, read_table: Any
) -> None:
    again = embed("-o", "out.npz", "--resume")
    assert again.status == 1
    assert "position 3 holds '7'" in again.err

    Path("in.fasta").write_text(unfinished + ">last\nMKV\n>more\nMKT\n")
    summary = json.loads(embed("-o", "out.npz", "--resume", "--json").out)
    whole = json.loads(embed("-o", "whole.npz", "--json").out)

    assert [path.name for path in Path().glob("*out*")] == ["out.npz"]
    one, other = read_table(Path("out.npz")), read_table(Path("whole.npz"))
    assert one.ids[-2:] == ["last", "more"]
    assert (one.ids, one.values.tobytes()) == (other.ids, other.values.tobytes())
    (resumed,) = summary["notices"].keys() - whole["notices"].keys()
    assert re.fullmatch(r"Resumed: [1-9]\d* of 62 proteins were already embedded\.", resumed)
    del summary["notices"][resumed]
    timed = {"output", "seconds", "tokens_per_second"}
    assert {k: v for k, v in summary.items() if k not in timed} == {
        k: v for k, v in whole.items() if k not in timed
    }


def test_the_fault_and_the_way_on_are_one_line(embed: Embed) -> None:
    Path("in.fasta").write_text(proteins(60) + AT_FAULT)

    outcome = embed("-o", "out.npz")

    assert outcome.err.startswith("biofm: in.fasta, record 61 (last): position 3 holds '7'")
    assert outcome.err.endswith(" records done and kept: repeat the command with --resume to continue\n")
    assert outcome.err.count("\n") == 1


CHANGES = {
    "neither word": ((), "there is an unfinished run here ("),
    "another input": (("--resume",), "records of the unfinished run"),
    "another pooling": (
        ("--resume", "--pool", "max"),
        "had other settings: pooling was mean and is now max. Repeat",
    ),
    "another layer": (("--resume", "--layer", "1"), "had other settings: layer was 2 and is now 1"),
    "another window": (("--resume", "--window", "9"), "had other settings: window was 0 and is now 9"),
    "other batches": (("--resume", "--tokens-per-batch", "9"), "tokens_per_batch was 8 and is now 9"),
    "another model": (("--resume", "--model", "protein-nano"), "sha256"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_going_on_otherwise_is_one_clear_line_and_loses_nothing(
    change: str, unfinished: str, embed: Embed, read_table: Any
) -> None:
    words, message = CHANGES[change]
    if change == "another input":
        Path("in.fasta").write_text(proteins(60, seed=21))

    outcome = embed("-o", "out.npz", *words)

    assert outcome.status == 1
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    Path("in.fasta").write_text(unfinished)
    assert embed("-o", "out.npz", "--resume").status == 0
    assert len(read_table(Path("out.npz")).ids) == 60


def test_overwrite_alone_begins_again(unfinished: str, embed: Embed, read_table: Any) -> None:
    Path("in.fasta").write_text(">other\nMKT\n")
    assert embed("-o", "out.npz", "--overwrite").status == 0
    assert read_table(Path("out.npz")).ids == ["other"]


def test_resume_without_unfinished_work_begins_and_says_so(embed: Embed) -> None:
    Path("in.fasta").write_text(">a\nMKT\n")
    outcome = embed("-o", "out.npz", "--resume")
    assert outcome.status == 0
    assert "The run started from the beginning, because --resume found no unfinished work.\n" in outcome.err


def test_a_pipe_that_tells_the_same_again_is_gone_on_with(
    unfinished: str, biofm: Any, tiny_esm2: Path, monkeypatch: pytest.MonkeyPatch, read_table: Any
) -> None:
    Path("again.fasta").write_text(unfinished)
    with Path("again.fasta").open("rb") as pipe:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        outcome = biofm("embed", "-", "--model", tiny_esm2, *OPTIONS, "-o", "out.npz", "--resume")
    assert outcome.status == 0, outcome.err
    assert len(read_table(Path("out.npz")).ids) == 60


def test_a_second_process_is_told_of_the_first(unfinished: str, embed: Embed) -> None:
    holder = sqlite3.connect(".out.npz.run/journal.sqlite3", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for word in ("--resume", "--overwrite"):
        outcome = embed("-o", "out.npz", word)
        assert outcome.status == 1
        assert "another process is working on this output" in outcome.err
    holder.close()
    Path("in.fasta").write_text(unfinished)
    assert embed("-o", "out.npz", "--resume").status == 0


def test_identical_sequences_are_computed_once_and_all_their_rows_kept(embed: Embed, read_table: Any) -> None:
    Path("in.fasta").write_text("".join(f">p{i}\n{'MKTAYIAKQR'[: 1 + i % 5]}\n" for i in range(200)))

    outcome = embed("-o", "out.npz", "--json")

    summary = json.loads(outcome.out)
    assert (summary["n_sequences"], summary["n_rows"]) == (200, 200)
    assert summary["n_tokens"] == sum(n + 2 for n in range(1, 6))
    assert "notice: sequences that repeat another, embedded once for all of them: 195" in outcome.err
    table = read_table(Path("out.npz"))
    assert table.ids == [f"p{i}" for i in range(200)]
    np.testing.assert_array_equal(table.values, np.tile(table.values[:5], (40, 1)))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_shards_in_any_order_make_the_table_of_an_undivided_run(
    suffix: str, pool: str, biofm: Any, embed: Embed, read_table: Any
) -> None:
    Path("in.fasta").write_text(proteins(40) + AT_FAULT)
    words = ("--pool", pool, "--on-error", "skip", "-o")
    whole = json.loads(embed(*words, f"whole{suffix}", "--json").out)
    shards = [
        json.loads(embed(*words, f"out{suffix}", "--json", "--shard", f"{index}/3").out)
        for index in (1, 2, 3)
    ]

    paths = [shard["output"] for shard in shards]
    assert paths == [f"out{suffix}.shard-{index}-of-3" for index in (1, 2, 3)]
    merged = json.loads(biofm("merge", paths[2], paths[0], paths[1], "-o", f"out{suffix}", "--json").out)

    for count in ("n_sequences", "n_residues", "n_tokens", "n_rows"):
        assert sum(shard[count] for shard in shards) == whole[count], "computed twice, or not at all"
    for count in ("n_sequences", "n_residues", "n_rows", "n_dimensions", "provenance"):
        assert merged[count] == whole[count]
    assert merged["notices"] == {
        "records skipped": 1,
        "Skipped: in.fasta, record 41 (last): position 3 holds '7', which no protein alphabet has.": 1,
        REPEATED_IDS: 40 - N_IDS,
    }
    one, other = read_table(Path(f"out{suffix}")), read_table(Path(f"whole{suffix}"))
    assert (one.ids, one.provenance) == (other.ids, other.provenance)
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-5)
    assert all(Path(path).exists() for path in paths)


def test_a_shard_in_which_nothing_falls_is_whole_too(biofm: Any, embed: Embed, read_table: Any) -> None:
    Path("in.fasta").write_text(">a\nMKT\n>b\nMKT\n")
    for index in (1, 2, 3):
        assert embed("-o", "out.csv", "--shard", f"{index}/3").status == 0
    assert biofm("merge", *sorted(Path().glob("out.csv.shard-*-of-3")), "-o", "out.csv").status == 0
    assert read_table(Path("out.csv")).ids == ["a", "b"]


@pytest.fixture
def shards(embed: Embed) -> list[str]:
    """Two shards of ``a``; one of another input, one of another pooling, one of three."""
    runs = [("a", "1/2"), ("a", "2/2"), ("a", "1/3"), ("input", "2/2"), ("long", "2/2"), ("max", "2/2")]
    texts = {"input": proteins(30, seed=21), "long": proteins(31)}
    for name, shard in runs:
        Path("in.fasta").write_text(texts.get(name, proteins(30)))
        pool = "max" if name == "max" else "mean"
        assert embed("-o", f"{name}.npz", "--shard", shard, "--pool", pool).status == 0
    return [f"{name}.npz.shard-{shard.replace('/', '-of-')}" for name, shard in runs]


def test_shards_that_do_not_belong_together_are_named(shards: list[str], biofm: Any) -> None:
    first, second, of_three, other_input, longer, other_pool = shards
    Path("text").write_text("no shard " * 3000)
    wrong = {
        (first,): ["missing shard: 2/2", "--shard 2/2"],
        (first, second, first): ["shard 1/2 is given twice"],
        (first, of_three): [of_three, "this is shard 1/3", "shard 1/2"],
        (first, other_input): [other_input, "from another input"],
        (first, longer): [longer, "from another input", "31 records, not 30"],
        (first, other_pool): [other_pool, "with other options", "pooling max, not mean"],
        (first, "text"): ["text: this file is not a shard of a run, or it is damaged"],
        (first, "nowhere"): ["nowhere: there is no such file"],
    }
    for given, message in wrong.items():
        outcome = biofm("merge", *given, "-o", "out.npz")
        assert (outcome.status, outcome.out, outcome.err.count("\n")) == (1, "", 1), given
        assert all(part in outcome.err for part in message), outcome.err
        assert not list(Path().glob("*out*"))
    assert biofm("merge", second, first, "-o", "out.npz").status == 0


def test_a_merge_names_what_is_wrong_with_its_output(shards: list[str], biofm: Any) -> None:
    Path("old.npz").write_bytes(b"precious")
    for output, message in [("old.npz", "--overwrite"), ("out.txt", ".h5ad"), (shards[0], "not a format")]:
        outcome = biofm("merge", *shards[:2], "-o", output)
        assert outcome.status == 1
        assert message in outcome.err
    assert Path("old.npz").read_bytes() == b"precious"
    assert biofm("merge", *shards[:2], "-o", "old.npz", "--overwrite").status == 0


def test_a_shard_is_not_run_over(embed: Embed) -> None:
    Path("in.fasta").write_text(">a\nMKT\n")
    assert embed("-o", "out.csv", "--shard", "1/2").status == 0
    assert "already exists" in embed("-o", "out.csv", "--shard", "1/2").err
    assert embed("-o", "out.csv", "--shard", "1/2", "--overwrite").status == 0


@pytest.mark.parametrize("shard", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", "", "1/" + "9" * 5000])
def test_a_wrong_shard_says_how_it_is_given(shard: str, embed: Embed) -> None:
    Path("in.fasta").write_text(">a\nMKT\n")
    outcome = embed("-o", "out.csv", f"--shard={shard}")
    assert outcome.status == 1
    assert (f"--shard: {shard} is not a shard" if shard else "--shard: no shard is named") in outcome.err
    assert outcome.err.count("\n") == 1
    assert [path.name for path in Path().iterdir()] == ["in.fasta"]


def test_an_estimate_counts_and_writes_nothing(embed: Embed) -> None:
    text = proteins(60)
    Path("in.fasta").write_text(text)

    plain = embed("-o", "out.h5ad", "--estimate")
    facts = json.loads(embed("-o", "out.h5ad", "--estimate", "--json").out)
    run = json.loads(embed("-o", "out.h5ad", "--json").out)

    assert plain.status == 0
    assert plain.out.startswith("proteins")
    sequences = text.splitlines()[1::2]
    assert facts["n_sequences"] == 60
    assert facts["n_unique"] == len(set(sequences))
    assert facts["longest"] == max(map(len, sequences))
    del run["provenance"]["records_digest"]  # of what was embedded
    for count in ("n_residues", "n_tokens", "n_rows", "n_dimensions", "provenance"):
        assert facts[count] == run[count]
    assert facts["memory_bytes"] > facts["memory_parts"]["program and weights"] > 1e8
    assert facts["seconds"] > 0


@pytest.mark.parametrize(
    "words", [("--pool", "mean"), ("--pool", "none", "--window", "9"), ("--shard", "2/3")]
)
def test_an_estimate_counts_the_tokens_of_windows_and_shards(words: tuple[str, ...], embed: Embed) -> None:
    Path("in.fasta").write_text(proteins(60))
    facts = json.loads(embed("-o", "out.npz", "--estimate", "--json", *words).out)
    run = json.loads(embed("-o", "out.npz", "--json", *words).out)
    for count in ("n_sequences", "n_residues", "n_tokens", "n_rows"):
        assert facts[count] == run[count]


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_estimated_sizes_are_within_a_tenth_of_the_files(pool: str, embed: Embed) -> None:
    Path("in.fasta").write_text(proteins(6000 if pool == "mean" else 2500))
    words = ("--pool", pool, "--tokens-per-batch", "4096")
    facts = json.loads(embed("-o", "out.npz", "--estimate", "--json", *words).out)
    for suffix in SUFFIXES:
        assert embed("-o", f"out{suffix}", *words).status == 0
        size = Path(f"out{suffix}").stat().st_size
        assert facts["output_bytes"][suffix] == pytest.approx(size, rel=0.1), suffix
    assert embed("-o", "out.npz", "--shard", "1/1", *words).status == 0
    size = Path("out.npz.shard-1-of-1").stat().st_size
    assert facts["scratch_bytes"] == pytest.approx(size, rel=0.15)


MEASURE = """
import sys
from biofm import api
from biofm.core.memory import peak_resident_bytes

path, n_records, model = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(path, "w") as file:
    for number in range(n_records):
        residues = "".join("ACDEFGHIKLMNPQRSTVWY"[int(digit)] for digit in f"{number:08}")
        file.write(f">p{number}\\n{residues}\\n")
api.embed(path, path + ".npz", model=model, layer=0)
print(peak_resident_bytes() >> 10)
"""


@pytest.mark.slow
def test_memory_is_flat_however_many_the_sequences(tmp_path: Path, tiny_esm2: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def peak_mib(n_records: int) -> float:
        path = tmp_path / f"{n_records}.fasta"
        command = [sys.executable, "-c", MEASURE, str(path), str(n_records), str(tiny_esm2)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return int(run.stdout) / 1024

    assert peak_mib(200_000) - peak_mib(20_000) < 50
