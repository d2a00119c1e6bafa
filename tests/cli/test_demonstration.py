"""The model that biofm ships is small: whatever it computes ends with the name of a published one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.tables import FEW, oiliness, write

NOTICE = (
    "protein-nano is a small model for demonstrations: for results to rely on, use a published model, such "
    "as esm2-650m (`biofm models` lists them)."
)
TRAIN = ("--target", "y", "--column", "sequence", "--split-column", "set")
VERBS = {
    "embed": ("embed", "p.fasta", "-o", "out.csv"),
    "embed, an estimate": ("embed", "p.fasta", "-o", "out.csv", "--estimate"),
    "perplexity": ("perplexity", "p.fasta", "-o", "out.csv"),
    "score": ("score", "--all-singles", "-w", "p.fasta", "-o", "out.csv"),
    "score, an estimate": ("score", "--all-singles", "-w", "p.fasta", "-o", "out.csv", "--estimate"),
    "finetune": ("finetune", "t.csv", *TRAIN, "-o", "run", *FEW),
    "finetune, an estimate": ("finetune", "t.csv", *TRAIN, "-o", "run", "--estimate", *FEW),
}


@pytest.fixture
def _inputs(biofm: Any) -> None:
    Path("p.fasta").write_text(">a\nMKTAYIAK\n")
    write("t.csv", oiliness)


@pytest.mark.usefixtures("_inputs")
@pytest.mark.parametrize("name", VERBS)
def test_the_demonstration_model_names_a_published_one_behind_all_other_notices(
    name: str, biofm: Any
) -> None:
    outcome = biofm(*VERBS[name], "--json")

    assert outcome.status == 0, outcome.err
    assert outcome.err.splitlines()[-1] == f"notice: {NOTICE}"
    assert outcome.err.count(NOTICE) == 1
    assert [*json.loads(outcome.out)["notices"]][-1] == NOTICE


@pytest.mark.usefixtures("_inputs")
def test_a_predictor_on_the_demonstration_model_says_so_too(biofm: Any) -> None:
    assert biofm(*VERBS["finetune"]).status == 0
    outcome = biofm("predict", "p.fasta", "-p", "run", "-o", "out.csv")
    assert (outcome.status, NOTICE in outcome.err) == (0, False)
    assert (
        "notice: The predictor was trained on protein-nano, a small model for demonstrations: " in outcome.err
    )


def test_neighbours_among_its_embeddings_say_so_too(biofm: Any) -> None:
    Path("three.fasta").write_text(">a\nMKTAYIAK\n>b\nMVLSPADK\n>c\nGGSGGSGG\n")
    assert biofm("embed", "three.fasta", "-o", "three.h5ad").status == 0
    outcome = biofm("neighbours", "three.h5ad")
    assert (outcome.status, NOTICE in outcome.err) == (0, False)
    assert "notice: The embeddings come from protein-nano, a small model for demonstrations: " in outcome.err


def test_neighbours_among_embeddings_of_another_model_have_no_such_notice(
    biofm: Any, tiny_esm2: Path
) -> None:
    Path("three.fasta").write_text(">a\nMKTAYIAK\n>b\nMVLSPADK\n>c\nGGSGGSGG\n")
    assert biofm("embed", "three.fasta", "-o", "three.h5ad", "-m", tiny_esm2).status == 0
    outcome = biofm("neighbours", "three.h5ad")
    assert (outcome.status, "demonstrations" in outcome.err) == (0, False)


@pytest.mark.usefixtures("_inputs")
@pytest.mark.parametrize("name", [name for name in VERBS if "estimate" not in name])
def test_another_model_brings_no_such_notice(name: str, biofm: Any, tiny_esm2: Path) -> None:
    outcome = biofm(*VERBS[name], "-m", tiny_esm2)
    assert (outcome.status, "demonstrations" in outcome.err) == (0, False), outcome.err


@pytest.mark.usefixtures("_inputs")
@pytest.mark.parametrize("verb", ["embed", "score", "finetune"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--device", ""), "--device: no device is named. Give auto, cuda, mps or cpu"),
        (("--model", ""), "--model: the name of the model is empty. Give a name that `biofm models` lists"),
    ],
)
def test_an_empty_name_is_refused_with_what_to_give(
    verb: str, words: tuple[str, str], message: str, biofm: Any
) -> None:
    biofm(*VERBS[verb], *words).check_refusal([f"biofm: {message}"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("",), "the name of the model is empty. Give"),
        (("--kernels", "--device", ""), "--device: no device is named. Give auto, cpu, cuda"),
    ],
)
def test_info_refuses_an_empty_name(words: tuple[str, ...], message: str, biofm: Any) -> None:
    biofm("info", *words).check_refusal([message])
