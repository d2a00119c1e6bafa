"""A run that had ended, repeated with --resume: the same request finds its output, another one is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biofm.core.outputs import SUFFIXES
from tests.cli.tables import sequences

ENDED = "notice: The output was finished before by this same request, so nothing was left to do.\n"

EMBED = ("embed", "in.fasta", "-m", "MODEL", "--dtype", "float32", "-o")
SCORE = ("score", "--all-singles", "-w", "one.fasta", "-m", "MODEL", "--method", "wt-marginals", "-o")

# a command, and what makes another request of it
FINISHED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **{f"embed to {suffix}": ((*EMBED, f"out{suffix}"), ("--pool", "max")) for suffix in SUFFIXES},
    "embed, a shard": ((*EMBED, "out.npz", "--shard", "1/2"), ("--layer", "0")),
    "score to .csv": ((*SCORE, "out.csv"), ("--offset", "1")),
    "score to .parquet": ((*SCORE, "out.parquet"), ("--method", "masked-marginals")),
    "score, a shard": ((*SCORE, "out.csv", "--shard", "2/2"), ("--method", "masked-marginals")),
    "data prepare": (("data", "prepare", "in.fasta", "-o", "out"), ("--split", "random", "--test", "2")),
}


@pytest.fixture
def repeat(biofm: Any, tiny_esm2: Path) -> Callable[..., Any]:
    """Runs a command with further words."""
    Path("in.fasta").write_text("".join(f">p{i}\n{one}\n" for i, one in enumerate(sequences(9))))
    Path("one.fasta").write_text(f">p\n{sequences(1)[0]}\n")
    return lambda words, *more: biofm(
        *(tiny_esm2 if word == "MODEL" else word for word in words), *more, "-q"
    )


def state_of_files() -> dict[Path, tuple[int, bytes]]:
    paths = (path for path in Path().rglob("*") if path.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_an_output_whose_provenance_is_nested_without_end_is_another_ones(repeat: Any) -> None:
    words = (*EMBED, "out.csv")
    assert repeat(words).status == 0
    Path("out.csv.provenance.json").write_text("[" * 100_000)

    again = repeat(words, "--resume")

    assert (again.status, again.err.count("\n")) == (1, 1)
    assert "the file already exists, and it is not what this request would write" in again.err


@pytest.mark.parametrize("case", FINISHED)
def test_a_finished_run_is_resumed_by_the_same_request_alone(case: str, repeat: Any) -> None:
    words, another = FINISHED[case]
    assert repeat(words).status == 0
    before = state_of_files()

    again = repeat(words, "--resume")
    assert (again.status, ENDED in again.err) == (0, True), again.err
    assert not any(word in again.err for word in ("tokens/s", "variants/s", "Wrote"))
    for outcome in (repeat(words), repeat(words, *another, "--resume")):
        assert (outcome.status, "--overwrite" in outcome.err) == (1, True), outcome.err
    Path("in.fasta").write_text(">p\nMKT\n")
    Path("one.fasta").write_text(">p\nMKT\n")
    assert repeat(words, "--resume").status == 1

    del before[Path("in.fasta")], before[Path("one.fasta")]
    assert before.items() <= state_of_files().items()
