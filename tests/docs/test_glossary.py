"""The glossary explains the words that results and options are given in, each by a sentence."""

import re
from typing import get_args

import pytest

from biofm.core import choices
from biofm.evaluation.supervised.task_metrics import METRICS
from biofm.training.finetuning.report import MEASURE_NAMES
from tests.architecture.sentences import has_verb
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
MEANINGS = dict(re.findall(r"^\| \*\*([^*]+)\*\* \| (.+) \|$", TEXT, flags=re.MULTILINE))

MEASURES = {MEASURE_NAMES.get(name, name) for names in METRICS.values() for name in names}
BASELINES = {
    "BLOSUM62", "composition ridge", "k-mer ridge", "one-hot ridge", "window regression", "majority class",
    "label frequencies", "mean", "unigram", "own composition",
}  # fmt: skip
OFFERED = (
    choices.DtypeName,
    choices.ScoreMethod,
    choices.ObjectiveName,
    choices.FinetuneMethod,
    choices.HeadPool,
)
CHOICES = {choice for offered in OFFERED for choice in get_args(offered)} - {"auto"}


def test_the_words_stand_in_their_order() -> None:
    assert list(MEANINGS) == sorted(MEANINGS, key=str.casefold)
    assert len(MEANINGS) == TEXT.count("\n| **"), "a word stands twice, or a row has another form"


@pytest.mark.parametrize("word", sorted(MEASURES | BASELINES | {"MFU", "NDCG"}))
def test_every_measure_and_baseline_of_a_report_has_a_row(word: str) -> None:
    assert [row for row in MEANINGS if row.startswith(word)] != []


@pytest.mark.parametrize("choice", sorted(CHOICES))
def test_every_choice_of_an_option_is_explained(choice: str) -> None:
    named = choice.replace("wt-", "wild-type-").replace("-", "[- ]")
    assert re.search(rf"\b{named}", TEXT, flags=re.IGNORECASE)


def test_every_meaning_is_a_sentence() -> None:
    assert {
        word: meaning
        for word, meaning in MEANINGS.items()
        if not (has_verb(meaning) and meaning.endswith("."))
    } == {}
