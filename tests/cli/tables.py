"""Tables to learn from, and words that make a fine-tuning short."""

from pathlib import Path
from typing import Any

import numpy as np

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
OILY = set("AFILMVW")
FEW = ("--set", "n_resamples=20", "--dtype", "float32", "--quiet")
FEW_STEPS = (
    "--steps", "4", "--tokens-per-batch", "256", "--set", "n_warmup=1", "--set", "validate_every=2",
    "--set", "checkpoint_every=1", *FEW,
)  # fmt: skip


def sequences(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(LETTERS, rng.integers(12, 25))) for _ in range(n)]


def oiliness(sequence: str) -> float:
    return sum(letter in OILY for letter in sequence) / len(sequence)


def write(path: str, cells: Any, n: int = 60) -> None:
    sets = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    rows = [f"p{i},{one},{cells(one)},{sets[i % 10]}" for i, one in enumerate(sequences(n))]
    Path(path).write_text("id,sequence,y,set\n" + "\n".join(rows) + "\n")


CHOICE = ("--target", "y", "--column", "sequence", "--split-column", "set")
CELLS: dict[str, Any] = {
    "regression": oiliness,
    "classification": lambda one: "oily" if oiliness(one) > 0.36 else "other",
    "per-residue": lambda one: "".join("o" if letter in OILY else "-" for letter in one),
}

GOOD = "id,sequence,y,set\n" + "".join(
    f"p{i},{one},{oiliness(one)},{['train', 'train', 'test'][i % 3]}\n" for i, one in enumerate(sequences(18))
)
"""A table of few rows."""
