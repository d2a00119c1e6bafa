"""Scoring that is cut short and goes on, or runs in shards: nothing lost, nothing doubled, the same bytes."""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from biofm.inference.scoring import estimate, rows

PROTEIN = "MKTAYIAKQRQISFVK"
OPTIONS = ("--wild-type", "wt.fasta", "--tokens-per-batch", "36", "--on-error", "skip", "--quiet", "--json")


def write_inputs(folder: Path, n_rows: int = 60, seed: int = 20) -> None:
    """Variants of one protein: substitutions, deletions, some twice, some at fault."""
    generator = random.Random(seed)
    (folder / "wt.fasta").write_text(f">a\n{PROTEIN}\n")
    with (folder / "v.csv").open("w") as file:
        file.write("id,mutant,note\n")
        for number in range(n_rows):
            place = generator.randrange(len(PROTEIN))
            change = generator.choice(["A", "W", "delinsWW", "*"])
            other = (place + 1) % len(PROTEIN)
            variant = f"{PROTEIN[place]}{place + 1}{change}:{PROTEIN[other]}{other + 1}G"
            file.write(f'{number},{variant},"{number}, ""so"""\n')


def words(model: Path, *more: str) -> tuple[str | Path, ...]:
    return ("score", "v.csv", *OPTIONS, "--model", model, *more)


@pytest.mark.parametrize(
    ("output", "method"),
    [
        ("out.csv", "masked-marginals"),
        pytest.param("out.csv", "pseudo-perplexity", marks=pytest.mark.slow),
        pytest.param("out.parquet", "pseudo-perplexity", marks=pytest.mark.slow),
        pytest.param("out.tsv", "wt-marginals", marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_again_and_again_gives_the_same_bytes(
    output: str, method: str, forked: Any, tiny_esm2: Path
) -> None:
    write_inputs(forked.folder, n_rows=120)
    command = words(tiny_esm2, "--method", method)
    forked.check(*command, "-o", f"whole-{output}")
    whole = json.loads(forked.out)
    n_kills = forked.kill_until_done(output, *command, "-o", output)
    while n_kills < 3:
        for path in forked.folder.glob(f"{output}*"):
            path.unlink()
        n_kills += forked.kill_until_done(output, *command, "-o", output)
    assert (forked.folder / output).read_bytes() == (forked.folder / f"whole-{output}").read_bytes()
    assert json.loads(forked.out)["n_tokens"] <= whole["n_tokens"]


def test_smaller_chunks_compute_nothing_twice(
    biofm: Any, tiny_esm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_inputs(tmp_path)
    whole = json.loads(biofm(*words(tiny_esm2, "-o", "whole.csv")).out)
    monkeypatch.setattr(rows, "BATCHES_PER_COMMIT", 16)
    in_chunks = json.loads(biofm(*words(tiny_esm2, "-o", "chunks.csv")).out)
    assert in_chunks["n_tokens"] == whole["n_tokens"]
    table, same = pd.read_csv("chunks.csv"), pd.read_csv("whole.csv")
    np.testing.assert_allclose(table["score"], same["score"], atol=1e-5)


@pytest.mark.parametrize("output", ["out.tsv", "out.parquet"])
def test_shards_make_the_table_of_an_undivided_run(
    output: str, biofm: Any, tiny_esm2: Path, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    assert biofm(*words(tiny_esm2, "-o", f"whole-{output}")).status == 0
    shards = [f"{output}.shard-{index}-of-3" for index in (1, 2, 3)]
    n_variants = []
    for index in (1, 2, 3):
        outcome = biofm(*words(tiny_esm2, "-o", output, "--shard", f"{index}/3"))
        n_variants.append(json.loads(outcome.out)["n_variants"])
    assert min(n_variants) > 0
    merged = biofm("merge", *reversed(shards), "-o", output, "--json")
    assert merged.status == 0, merged.err
    assert json.loads(merged.out)["n_variants"] == sum(n_variants)
    one, two = (
        pq.read_table(name).to_pandas() if output.endswith("parquet") else pd.read_csv(name, sep="\t")
        for name in (output, f"whole-{output}")
    )
    assert list(one.columns) == list(two.columns)
    names = ["id", "mutant", "note", "method", "windowed"]
    pd.testing.assert_frame_equal(one[names], two[names])
    np.testing.assert_allclose(one["score"], two["score"], atol=1e-5)


def test_variants_of_one_place_meet_in_one_shard(biofm: Any, tiny_esm2: Path) -> None:
    Path("wt.fasta").write_text(f">a\n{PROTEIN}\n")
    n_tokens = []
    for shard in ("1/1", "1/2", "2/2"):
        name = f"out-{shard[0]}-{shard[2]}.csv"
        outcome = biofm("score", "--all-singles", *OPTIONS, "-m", tiny_esm2, "-o", name, "--shard", shard)
        n_tokens.append(json.loads(outcome.out)["n_tokens"])
    assert n_tokens[0] == n_tokens[1] + n_tokens[2] == len(PROTEIN) * (len(PROTEIN) + 2)


def test_scores_are_merged_into_tables_alone(biofm: Any, tiny_esm2: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path, n_rows=10)
    assert biofm(*words(tiny_esm2, "-o", "out.csv", "--shard", "1/1")).status == 0
    outcome = biofm("merge", "out.csv.shard-1-of-1", "-o", "out.h5ad")
    assert (outcome.status, ".h5ad is not a table format" in outcome.err) == (1, True)
    outcome = biofm("merge", "out.csv.shard-1-of-1", "-o", "out.csv")
    assert "Joined 1 shard.\n" in outcome.err
    assert re.search(r"Wrote \d+ scores and \d+ rows? without a score to out\.csv\.", outcome.err)


TO_OUT = ("-w", "wt.fasta", "-o", "out.csv", "--tokens-per-batch", "72", "-q")


def interrupted(biofm: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the unfinished work of a run whose table has a fault in its second half."""
    monkeypatch.setattr(rows, "BATCHES_PER_COMMIT", 2)
    Path("wt.fasta").write_text(f">a\n{PROTEIN}\n")
    lines = [f"{residue}{place}A\n" for place, residue in enumerate(PROTEIN, 1)]
    Path("v.csv").write_text("mutant\n" + "".join(lines * 130) + "K1A\n")  # beyond the first 2,048 rows
    outcome = biofm("score", "v.csv", *TO_OUT, "-m", model)
    assert outcome.status == 1
    assert re.search(r"[\d,]+ records done and kept: repeat the command with --resume", outcome.err)


def test_a_fault_keeps_what_was_done_and_the_run_goes_on_when_it_is_mended(
    biofm: Any, tiny_esm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(biofm, tiny_esm2, monkeypatch)
    again = ("score", "v.csv", *TO_OUT, "-m", tiny_esm2, "--resume")
    changed = biofm(*again, "--method", "wt-marginals")
    change = "method was masked-marginals and is now wt-marginals"
    assert f"the unfinished run had other settings: {change}" in changed.err
    Path("v.csv").write_text(Path("v.csv").read_text().replace("K1A\n", "M1A\n").replace("K2A", "K2R", 1))
    assert re.search(r"no longer begins with the [\d,]+ records of the unfinished run", biofm(*again).err)
    Path("v.csv").write_text(Path("v.csv").read_text().replace("K2R", "K2A", 1))
    assert biofm(*again).status == 0
    assert len(pd.read_csv("out.csv")) == 130 * len(PROTEIN) + 1
    assert not list(Path().glob(".out.csv*"))


def test_a_shard_is_not_drawn(biofm: Any) -> None:
    Path("wt.fasta").write_text(f">a\n{PROTEIN}\n")
    picture = ("--picture", "a.svg", "--shard", "1/2")
    outcome = biofm("score", "--all-singles", "-w", "wt.fasta", "-o", "out.csv", *picture)
    assert (outcome.status, "--picture: a shard holds only some" in outcome.err) == (1, True)


def test_an_estimate_counts_what_a_run_then_does_and_writes_nothing(
    biofm: Any, tiny_esm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "SAMPLE_SECONDS", 0.1)
    write_inputs(tmp_path)
    before = sorted(tmp_path.iterdir())
    found = json.loads(biofm(*words(tiny_esm2, "-o", "out.csv", "--estimate")).out)
    assert sorted(tmp_path.iterdir()) == before
    done = json.loads(biofm(*words(tiny_esm2, "-o", "out.csv")).out)
    assert found["n_tokens"] == done["n_tokens"] > 0
    assert found["n_variants"] == done["n_variants"]
    assert found["notices"] == done["notices"]
    assert 0 < found["seconds"] < 600
    in_words = biofm("score", "v.csv", *OPTIONS[:-1], "-m", tiny_esm2, "-o", "out.csv", "--estimate")
    assert f"{done['n_tokens']:,} tokens for" in in_words.out
    assert found["memory_bytes"] >= sum(found["memory_parts"].values()) > 1e8
    for name in ("computed in", "memory", "output", "until it is complete"):
        assert re.search(rf"^{name} +\S", in_words.out, re.MULTILINE), name


def test_estimated_sizes_of_tables_are_those_of_the_files(
    biofm: Any, tiny_esm2: Path, tmp_path: Path
) -> None:
    write_inputs(tmp_path, n_rows=3000)
    models = ("-m", tiny_esm2, "-m", "protein-nano", "--method", "wt-marginals")
    command = ("score", "v.csv", *OPTIONS, "--tokens-per-batch", "8192", *models, "-o")
    sizes = json.loads(biofm(*command, "out.csv", "--estimate").out)["output_bytes"]
    for suffix in (".csv", ".tsv", ".parquet"):
        assert biofm(*command, f"out{suffix}").status == 0
        assert sizes[suffix] == pytest.approx(Path(f"out{suffix}").stat().st_size, rel=0.1), suffix


def test_the_estimate_of_a_share_is_about_that_share(biofm: Any, tiny_esm2: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    estimate_of = words(tiny_esm2, "-o", "out.csv", "--method", "wt-marginals", "--estimate")
    whole = json.loads(biofm(*estimate_of).out)
    shards = [json.loads(biofm(*estimate_of, "--shard", f"{index}/2").out) for index in (1, 2)]
    assert sum(shard["n_variants"] for shard in shards) == whole["n_variants"]
    assert all(0 < shard["output_bytes"][".csv"] < whole["output_bytes"][".csv"] for shard in shards)
    nothing = json.loads(biofm(*estimate_of, "--shard", "1/100000").out)
    assert (nothing["n_variants"], set(nothing["output_bytes"].values())) == (0, {0})


def test_of_many_missing_shards_some_are_named(biofm: Any, tiny_esm2: Path) -> None:
    write_inputs(Path())
    assert biofm(*words(tiny_esm2, "-o", "out.csv", "--shard", "1/100000000", "-q")).status == 0
    outcome = biofm("merge", "out.csv.shard-1-of-100000000", "-o", "out.csv")
    assert outcome.status == 1
    assert "missing shards: 2/100000000, 3/100000000" in outcome.err
    assert "and 99,999,979 others. Run `biofm score` with --shard 2/100000000" in outcome.err


def test_a_name_that_the_disk_does_not_take_is_one_line(biofm: Any) -> None:
    write_inputs(Path())
    outcome = biofm("score", "v.csv", "-w", "wt.fasta", "-o", f"{'x' * 300}.csv", "--resume", "-q")
    assert outcome.status == 1
    assert outcome.err.startswith("biofm: xxx")
    assert "file name too long" in outcome.err
    assert outcome.err.count("\n") == 1
