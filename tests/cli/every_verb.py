"""Every verb once, in one process, on the inputs that ``test_opened_files.py`` wrote into the current folder.

That test runs this file under strace: a part of what is traced begins where ``/begins/PART``, which is
nowhere, is opened. Each part has a ledger of its own.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

MARK = "/begins/"
HUB_NAME = "someone/tiny"
SHORT = ("--model", "protein-nano", "--quiet")

# What is traced apart, by the words that make biofm do it.
COMMANDS: dict[str, Sequence[str]] = {
    "embed": ("embed", "in.fasta", "-o", "out.h5ad", *SHORT),
    "neighbours": ("neighbours", "out.h5ad", "-o", "neighbours.png"),
    "score": ("score", "variants.csv", "--wild-type", "wild.fasta", "-o", "scores.csv", *SHORT),
    "perplexity": ("perplexity", "in.fasta", "-o", "perplexity.parquet", *SHORT),
    "contacts": (
        "contacts", "in.fasta", "-m", "esm2", "-o", "maps.npz", "--protein", "p1", "--picture", "map.png",
        "--quiet",
    ),
    "evaluate": (
        "evaluate", "scores.csv", "--measured-column", "fitness", "--score-column", "score", "--quiet",
        "--resamples", "10",
    ),
    "shard 1": ("embed", "in.fasta", "-o", "parts.npz", "--shard", "1/2", *SHORT),
    "shard 2": ("embed", "in.fasta", "-o", "parts.npz", "--shard", "2/2", *SHORT),
    "merge": ("merge", "parts.npz.shard-1-of-2", "parts.npz.shard-2-of-2", "-o", "parts.npz"),
    "estimate": ("embed", "in.fasta", "-o", "other.npz", "--estimate", *SHORT),
    "prepare": ("data", "prepare", "in.fasta", "-o", "store", "--quiet"),
    "describe": ("data", "describe", "store"),
    "pretrain": (
        "pretrain", "in.fasta", "-o", "pretrained", "--steps", "3", "--held-out", "4", "--warmup", "1",
        "--tokens-per-batch", "128", "--max-length", "64", "--config", "settings.toml", "--quiet",
    ),
    "finetune": (
        "finetune", "table.csv", "--target", "y", "--column", "sequence", "--split-column", "set",
        "-m", "esm2", "-o", "tuned", "--set", "n_resamples=10", "--quiet",
    ),
    "predict": ("predict", "in.fasta", "-p", "tuned/predictor", "-o", "predicted.csv", "--quiet"),
    "run_program": ("run-program", "program.pt2", "input.npy", "-o", "made.npy", "--quiet"),
    "load": ("info", "esm2"),
    "fetch": ("info", HUB_NAME),
}  # fmt: skip


def save() -> None:
    """Save a model: the one verb that is no command."""
    from biofm import load

    load("esm2").save("saved")


def run(main: Callable[[], Any], words: Sequence[str]) -> object:
    """Run a command and return its exit code."""
    sys.argv = ["biofm", *words]
    try:
        main()
    except SystemExit as end:
        return end.code
    return 0


def begin(part: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(Path("state", part).absolute())
    with suppress(FileNotFoundError):
        open(MARK + part).close()


def main() -> None:
    from biofm.cli import main as biofm

    if sys.argv[1:] == ["neighbours of the planted file, unchecked"]:
        begin("neighbours")
        with patch("biofm.core.h5ad.embeddings.check_tree"):
            run(biofm, ("neighbours", "planted.h5ad"))
        return
    faults = {}
    for part, words in COMMANDS.items():
        begin(part)
        faults[part] = run(biofm, words)
    begin("save")
    save()
    begin("planted")
    assert run(biofm, ("neighbours", "planted.h5ad")) == 1, "a file that leads to another is refused"
    sys.exit(f"did not end well: {found}" if (found := {part: x for part, x in faults.items() if x}) else 0)


if __name__ == "__main__":
    main()
