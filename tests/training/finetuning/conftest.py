"""Fixtures of all fine-tuning tests: tables with something to learn, an untrained model, few steps."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biofm.evaluation.supervised import LabelledTable, LabelOptions, read_labelled
from biofm.inference import Compute
from biofm.modalities import PROTEIN, ProteinTokenizer
from biofm.models import Checkpoint
from biofm.nn import MaskedLM
from biofm.training import FinetuneRecipe
from biofm.training.finetuning import Base, FinetuneSummary, Source, run_finetuning

MakeTable = Callable[..., LabelledTable]
MakeModel = Callable[..., MaskedLM]
MakeRecipe = Callable[..., FinetuneRecipe]
Tune = Callable[..., FinetuneSummary]

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
OILY = set("AFILMVW")


def oiliness(sequence: str) -> float:
    return sum(letter in OILY for letter in sequence) / len(sequence)


# The cells of a row by its sequence.
CELLS: dict[str, Callable[[str], str]] = {
    "regression": lambda sequence: f"{oiliness(sequence):.4f}",
    "classification": lambda sequence: "oily" if oiliness(sequence) > 0.36 else "other",
    "multi-label": lambda sequence: f"{int('W' in sequence[:9])},{int(oiliness(sequence) > 0.36)}",
    "per-residue": lambda sequence: "".join("o" if letter in OILY else "-" for letter in sequence),
}


def write_table(task: str, n_rows: int, *, with_split: bool, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    sets = ["train"] * 6 + ["validation"] * 2 + ["test"] * 2
    lines = ["id,sequence," + ("a,b" if task == "multi-label" else "y") + (",set" if with_split else "")]
    for row in range(n_rows):
        sequence = "".join(rng.choice(LETTERS, rng.integers(12, 25)))
        split = f",{sets[row % 10]}" if with_split else ""
        lines.append(f"p{row},{sequence},{CELLS[task](sequence)}{split}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def make_table() -> MakeTable:
    """Make a table of random peptides, whose targets are forms of their hydrophobicity."""

    def make(task: str = "regression", n_rows: int = 60, *, with_split: bool = True) -> LabelledTable:
        return read_text(write_table(task, n_rows, with_split=with_split), task)

    return make


def read_text(text: str, task: str = "auto") -> LabelledTable:
    header = text.partition("\n")[0].split(",")
    targets = tuple(name for name in header if name in ("y", "a", "b"))
    split = "set" if "set" in header else None
    options = LabelOptions(column="sequence", targets=targets, split_column=split, task=task)
    return read_labelled(io.BytesIO(text.encode()), "t.csv", PROTEIN, options, Counter())


@pytest.fixture
def make_recipe() -> MakeRecipe:
    def make(**changes: Any) -> FinetuneRecipe:
        few = {
            "n_steps": 6, "tokens_per_batch": 256, "n_warmup": 1, "validate_every": 2, "patience": 3,
            "checkpoint_every": 2, "log_every": 2, "n_resamples": 20,
        }  # fmt: skip
        return FinetuneRecipe(**few | changes)

    return make


@pytest.fixture
def base(make_model: MakeModel) -> Base:
    return Base(
        Checkpoint("biofm protein", make_model().requires_grad_(False), ProteinTokenizer()), "it", "0"
    )


@pytest.fixture
def with_report() -> None:
    """Let the runs of a test leave a report."""


@pytest.fixture(autouse=True)
def _without_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, because drawing takes longer than these short runs."""
    if "with_report" not in request.fixturenames:
        monkeypatch.setattr("biofm.training.finetuning.run._report", lambda *arguments: None)


@pytest.fixture
def tune(base: Base, cpu: Compute, tmp_path: Path) -> Tune:
    """Run a fine-tuning in ``tmp_path / "run"``."""

    def run(
        table: LabelledTable, recipe: FinetuneRecipe, folder: str = "run", **changes: Any
    ) -> FinetuneSummary:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        options = LabelOptions(column="sequence", targets=table.labels.targets)
        source = Source(table, options, changes.get("sha256", "1"))
        progress = changes.get("progress", lambda stage, done, total, detail="": None)
        summary = run_finetuning(source, base, recipe, cpu, path, Counter(), progress)
        assert summary is not None, "one process alone is the first one"
        return summary

    return run
