"""Scores and perplexities against a plain loop over ``transformers``: one masked residue, one run."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest
import torch
from biofm_datasets import Record, parse_variant
from biofm_datasets.changes import locate
from transformers import EsmForMaskedLM

from biofm.inference import Compute, QueryRunner
from biofm.inference.scoring import METHODS, PERPLEXITY_METHODS, Scorer, ScoringModel, Variant, perplexities
from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM

Pair = tuple[EsmForMaskedLM, MaskedLM]

CPU = Compute(torch.device("cpu"), torch.float32, "as asked")
TOKENIZER = ProteinTokenizer()
CLS, EOS, MASK = TOKENIZER.cls, TOKENIZER.eos, TOKENIZER.mask
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQXLEERLGLIEVQ"
WINDOW = 12  # of PROTEIN's 34 residues
LONG = 1022

SUBSTITUTIONS = ["M1G", "K2R", "V15W", "S20A", "E26D", "Q34L", "K2R:E26D", "M1G:H18P:Q34L", "A4_Y5delinsGF"]
INDELS = ["A4del", "K2_A7del", "Q34del", "A4_Y5insGPW", "F14_K16dup", "M1W:A4del", "A4_Y5delinsW"]
NEUTRAL = ["WT", "A4A", "A4=:Y5="]

# Sums of a few log-probabilities in float32, whose additions run in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def pair(make_pair: Callable[..., Pair]) -> Pair:
    return make_pair("ESM-2", d_model=24, n_layers=2, n_heads=2)


def log_p(theirs: EsmForMaskedLM, body: str, masked: int | None) -> torch.Tensor:
    """Of every residue (from 0): one sequence, one run, no padding."""
    residues = [TOKENIZER.number[residue] for residue in body]
    if masked is not None:
        residues[masked] = MASK
    with torch.no_grad():
        return theirs(torch.tensor([[CLS, *residues, EOS]])).logits[0, 1:-1].double().log_softmax(-1)


def hidden(theirs: EsmForMaskedLM, sequence: str, place: int, window: int) -> torch.Tensor:
    start = min(max(place - window // 2, 0), max(len(sequence) - window, 0))
    return log_p(theirs, sequence[start : start + window], place - start)[place - start]


def shown(theirs: EsmForMaskedLM, sequence: str, window: int) -> Iterator[torch.Tensor]:
    """Each residue from the window in whose middle it lies; of two equally near, the later one."""
    starts = [*range(0, max(len(sequence) - window, 0), window // 2), max(len(sequence) - window, 0)]
    runs = [log_p(theirs, sequence[start : start + window], None) for start in starts]
    for place in range(len(sequence)):
        centres = [abs(2 * (place - start) - (window - 1)) for start in starts]
        fitting = [i for i, start in enumerate(starts) if start <= place < start + window]
        best = min(fitting, key=lambda i: (centres[i], -i))
        yield runs[best][place - starts[best]]


@cache
def likelihood(theirs: EsmForMaskedLM, sequence: str, window: int) -> float:
    return sum(
        float(hidden(theirs, sequence, place, window)[TOKENIZER.number[residue]])
        for place, residue in enumerate(sequence)
        if residue != "X"
    )


def expected(theirs: EsmForMaskedLM, variant: Variant, method: str, window: int) -> float:
    if method == "pseudo-perplexity" or len(variant.mutated) != len(variant.wild_type):
        return likelihood(theirs, variant.mutated, window) - likelihood(theirs, variant.wild_type, window)
    total = 0.0
    rows = list(shown(theirs, variant.wild_type, window))
    for place, (wild, mutant) in enumerate(zip(variant.wild_type, variant.mutated, strict=True)):
        if wild != mutant:
            masked = method == "masked-marginals"
            row = hidden(theirs, variant.wild_type, place, window) if masked else rows[place]
            total += float(row[TOKENIZER.number[mutant]] - row[TOKENIZER.number[wild]])
    return total


def reader(ours: MaskedLM, window: int, tokens_per_batch: int = 1000) -> ScoringModel:
    return ScoringModel(QueryRunner(ours, MASK, CPU, tokens_per_batch), TOKENIZER, window + 2)


def variants(texts: list[str]) -> list[Variant]:
    return [Variant(PROTEIN, locate(parse_variant(text), PROTEIN)) for text in texts]


@pytest.mark.parametrize("window", [LONG, WINDOW], ids=["whole", "windows"])
@pytest.mark.parametrize("method", METHODS)
def test_scores_are_those_of_a_plain_loop(pair: Pair, method: str, window: int) -> None:
    theirs, ours = pair
    substitutions = SUBSTITUTIONS[-2:] if method == "pseudo-perplexity" else SUBSTITUTIONS
    cases = variants([*substitutions, *INDELS, *NEUTRAL])
    found = Scorer([reader(ours, window)], method).read_and_score(cases)[:, 0]  # type: ignore[arg-type]
    truth = np.array([expected(theirs, case, method, window) for case in cases])
    assert np.abs(truth[: -len(NEUTRAL)]).min() > 100 * TOLERANCE, "a score of 0 would prove nothing"
    np.testing.assert_allclose(found, truth, atol=TOLERANCE)
    assert (found[-len(NEUTRAL) :] == 0).all()


@pytest.mark.parametrize("tokens_per_batch", [1, 100, 100_000])
def test_the_size_of_batches_does_not_matter(pair: Pair, tokens_per_batch: int) -> None:
    cases = variants([*SUBSTITUTIONS, *INDELS[:2]])
    scores = [
        Scorer([reader(pair[1], WINDOW, size)], "masked-marginals").read_and_score(cases)
        for size in (1000, tokens_per_batch)
    ]
    np.testing.assert_allclose(scores[1], scores[0], atol=TOLERANCE)


@pytest.mark.parametrize("window", [LONG, WINDOW], ids=["whole", "windows"])
@pytest.mark.parametrize("method", PERPLEXITY_METHODS)
def test_perplexities_are_those_of_a_plain_loop(pair: Pair, method: str, window: int) -> None:
    theirs, ours = pair
    sequences = [PROTEIN, "M", PROTEIN[:13], PROTEIN]
    records = [Record(str(i), sequence) for i, sequence in enumerate(sequences)]
    (part,) = perplexities(records, reader(ours, window), method, Counter())  # type: ignore[arg-type]
    for found, n, sequence in zip(part.values, part.n_residues, sequences, strict=True):
        if method == "pseudo":
            total = likelihood(theirs, sequence, window)
        else:
            rows = zip(shown(theirs, sequence, window), sequence, strict=True)
            total = sum(float(row[TOKENIZER.number[residue]]) for row, residue in rows if residue != "X")
        assert n == len(sequence) - sequence.count("X")
        assert found == pytest.approx(np.exp(-total / n), rel=TOLERANCE)
