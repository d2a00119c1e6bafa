"""Fixtures of whole runs: files of proteins, recipes of a few steps, and what runs leave or print."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biofm import api
from biofm.core import BiofmError
from biofm.models import Checkpoint, write_checkpoint
from biofm.training import PretrainRecipe
from biofm.training.summary import PretrainSummary

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
N_PROTEINS = 24
N_HELD_OUT = 4

CheckEvaluation = Callable[..., None]
Refusal = Callable[..., str]
SaveModel = Callable[[str, Checkpoint], str]


@pytest.fixture(autouse=True)
def _without_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, whose pictures take longer than the rest; tests of it ask for ``reported``."""
    if "reported" not in request.fixturenames:
        monkeypatch.setattr("biofm.training.run._report", lambda *given: None)


@pytest.fixture
def reported() -> None:
    """Let the runs of a test leave a report."""


@pytest.fixture
def make_fasta(tmp_path: Path, make_proteins: Callable[..., list[str]]) -> MakeFasta:
    """Write a file of unlike proteins, and these lines behind them."""

    def make(name: str = "proteins.fasta", *, n: int = N_PROTEINS, seed: int = 0, more: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        records = [f">p{i}\n{protein}\n" for i, protein in enumerate(make_proteins(n, seed=seed))]
        path.write_text("".join(records) + more)
        return path

    return make


@pytest.fixture
def few(make_recipe: MakeRecipe) -> PretrainRecipe:
    return make_recipe(n_steps=2, log_every=1, n_held_out=N_HELD_OUT)


@pytest.fixture
def nothing(make_recipe: MakeRecipe) -> PretrainRecipe:
    """Return a recipe of no steps, which checks without training what comes before it."""
    return make_recipe(n_steps=0, n_held_out=N_HELD_OUT)


@pytest.fixture
def check_evaluation() -> CheckEvaluation:
    """Check the perplexities of an untrained model and of its baselines on the held-out proteins."""

    def check(summary: PretrainSummary, source: str = "proteins.fasta") -> None:
        result = summary.held_out[source]
        assert result.n_sequences == N_HELD_OUT
        assert 31 * N_HELD_OUT <= result.n_residues <= 80 * N_HELD_OUT
        assert all(15 < value < 30 for value in (result.model, result.unigram, result.own_composition))

    return check


@pytest.fixture
def refusal() -> Refusal:
    """Return the message with which ``pretrain`` refuses."""

    def find(kind: type[BiofmError], *arguments: Any, **options: Any) -> str:
        with pytest.raises(kind) as caught:
            api.pretrain(*arguments, **options)
        return str(caught.value)

    return find


@pytest.fixture
def save_model(tmp_path: Path) -> SaveModel:
    """Write a model into a folder of this name."""

    def save(name: str, checkpoint: Checkpoint) -> str:
        (tmp_path / name).mkdir()
        for file, content in write_checkpoint(checkpoint).items():
            (tmp_path / name / file).write_bytes(content)
        return str(tmp_path / name)

    return save


@pytest.fixture
def make_store(make_fasta: MakeFasta, tmp_path: Path) -> Callable[..., Path]:
    def make(**options: Any) -> Path:
        api.prepare([make_fasta("a.fasta"), make_fasta("b.fasta", seed=1)], tmp_path / "store", **options)
        return tmp_path / "store"

    return make
