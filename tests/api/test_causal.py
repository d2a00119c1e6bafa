"""What a causal model refuses, in one line each, and what it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import biofm
from biofm.api import Score
from biofm.core import ModelError, OptionError
from biofm.models import new_model, write_checkpoint

PROTEINS = ["MKTAYIAKQRQISFVKSHFSRQ", "MKTAYIA", "MSHFSRQ"]
SEES_ONE_SIDE = (
    "this model is causal: it sees only the residues before each residue, but scores depend on residues on "
    "both sides. Use a model that was trained on masked residues; this one can embed"
)
TOUCH_BOTH_SIDES = (
    "this model is causal: it sees only the residues before each residue, but contacts depend on residues on "
    "both sides. Use a model that was trained on masked residues; this one can embed"
)
CLS_SEES_NOTHING = (
    "--pool: in a causal model <cls> sees no residue: it is the same for every protein. "
    "Give mean, max or none"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model of ours, as it is written."""
    folder = tmp_path_factory.mktemp("causal")
    checkpoint = new_model("nano", trained_length=64, seed=1, causal=True)
    for name, content in write_checkpoint(checkpoint).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def causal(folder: Path) -> biofm.Model:
    return biofm.load(folder, dtype="float32")


REFUSED: dict[str, tuple[Callable[[biofm.Model], Any], str]] = {
    "masked marginals": (lambda model: model.score(PROTEINS[0], ["K2R"]), SEES_ONE_SIDE),
    "wild-type marginals": (
        lambda model: model.score(PROTEINS[0], ["K2R"], method="wt-marginals"),
        SEES_ONE_SIDE,
    ),
    "an insertion": (lambda model: model.score(PROTEINS[0], ["K2_T3insG"]), SEES_ONE_SIDE),
    "pseudo-perplexity": (lambda model: model.perplexity(PROTEINS), SEES_ONE_SIDE),
    "single-pass perplexity": (
        lambda model: model.perplexity(PROTEINS, method="single-pass"),
        SEES_ONE_SIDE,
    ),
    "contacts": (lambda model: model.contacts(PROTEINS), TOUCH_BOTH_SIDES),
}


@pytest.mark.parametrize(("ask", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_needs_both_sides_of_a_residue_is_refused(
    ask: Callable[[biofm.Model], Any], reason: str, causal: biofm.Model, folder: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        ask(causal)
    assert str(caught.value) == f"{folder}: {reason}"


def test_files_are_refused_as_values_are_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_text(f">a\n{PROTEINS[0]}\n")
    (tmp_path / "v.csv").write_text("variant\nK2R\n")
    source, output, table = tmp_path / "in.fasta", tmp_path / "out.csv", tmp_path / "v.csv"
    before = sorted(tmp_path.iterdir())
    calls: list[Callable[[], object]] = [
        lambda: biofm.score(table, output, wild_type=source, models=[folder]),
        lambda: Score(table, output, wild_type=source, models=[folder]).estimate(),
        lambda: biofm.perplexity(source, output, model=folder),
        lambda: biofm.contacts(source, output, model=folder),
    ]
    for call in calls:
        with pytest.raises(ModelError, match="this model is causal"):
            call()
        assert sorted(tmp_path.iterdir()) == before


def test_it_embeds_but_not_by_the_token_that_sees_nothing(causal: biofm.Model) -> None:
    means = causal.embed(PROTEINS).values
    assert len(np.unique(means.round(5), axis=0)) == len(PROTEINS)
    with pytest.raises(OptionError) as caught:
        causal.embed(PROTEINS, pool="cls")
    assert str(caught.value) == CLS_SEES_NOTHING


def test_a_residue_is_embedded_by_those_before_it(causal: biofm.Model) -> None:
    whole, beginning = (causal.embed([p], pool="none").values for p in PROTEINS[:2])
    np.testing.assert_allclose(beginning, whole[: len(beginning)], rtol=0, atol=1e-5)
