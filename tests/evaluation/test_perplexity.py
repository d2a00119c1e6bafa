"""Perplexities are what their definitions say, for the model and for the baselines that it must beat."""

from collections import Counter
from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from biofm.core import ModelError
from biofm.evaluation import HeldOutPerplexity, held_out_perplexity, residue_frequencies
from biofm.evaluation.perplexity import N_PARTS, PRIOR_RESIDUES, _deal
from biofm.modalities import STANDARD_RESIDUES, ProteinTokenizer
from biofm.nn import MaskedLM, PackedBatch
from tests.evaluation.conftest import make_model

Judge = Callable[..., HeldOutPerplexity]


@pytest.fixture
def tokenizer() -> ProteinTokenizer:
    return ProteinTokenizer()


@pytest.fixture
def model() -> MaskedLM:
    return make_model()


@pytest.fixture
def proteins() -> list[str]:
    rng = np.random.default_rng(0)
    alphabet = list(STANDARD_RESIDUES + "XBUZO")
    return ["".join(rng.choice(alphabet, length)) for length in (7, 40, 3, 25, 8, 60, 40)]


@pytest.fixture
def unigram(proteins: list[str], tokenizer: ProteinTokenizer) -> NDArray[np.float64]:
    return residue_frequencies(np.bincount(tokenizer.encode("".join(proteins)), minlength=33), tokenizer)


@pytest.fixture
def judge(model: MaskedLM, unigram: NDArray[np.float64], tokenizer: ProteinTokenizer) -> Judge:
    def run(proteins: list[str], *, tokens_per_batch: int = 100, seed: int = 0) -> HeldOutPerplexity:
        return held_out_perplexity(
            model,
            [*map(tokenizer.encoded, proteins)],
            unigram,
            tokenizer,
            tokens_per_batch=tokens_per_batch,
            seed=seed,
        )

    return run


@pytest.fixture
def watched(model: MaskedLM, monkeypatch: pytest.MonkeyPatch) -> list[PackedBatch]:
    """Every batch that the model gets to see."""
    batches: list[PackedBatch] = []
    forward = model.encoder.forward

    def watch(batch: PackedBatch) -> Tensor:
        batches.append(batch)
        return forward(batch)

    monkeypatch.setattr(model.encoder, "forward", watch)
    return batches


def test_a_model_that_knows_nothing_has_a_perplexity_of_twenty(
    model: MaskedLM, judge: Judge, proteins: list[str]
) -> None:
    assert model.head is not None
    with torch.no_grad():
        model.head.norm.weight.zero_()
        model.head.norm.bias.zero_()
        model.head.bias.fill_(3.0)
    assert judge(proteins).model == pytest.approx(20, rel=1e-6)


def test_scores_of_what_is_no_standard_residue_do_not_count(
    model: MaskedLM, judge: Judge, proteins: list[str], tokenizer: ProteinTokenizer
) -> None:
    before = judge(proteins).model
    others = np.setdiff1d(np.arange(len(tokenizer.vocabulary)), tokenizer.scored)
    assert model.head is not None
    with torch.no_grad():
        model.head.bias[torch.from_numpy(others)] = 50.0
    assert judge(proteins).model == pytest.approx(before, rel=1e-5)


def test_the_unigram_perplexity_is_the_exponential_of_the_entropy_on_a_set_of_its_own_frequencies(
    model: MaskedLM, tokenizer: ProteinTokenizer
) -> None:
    counts = {residue: i for i, residue in enumerate(STANDARD_RESIDUES, start=1)}
    protein = "".join(residue * n for residue, n in counts.items())
    frequencies = np.array([n / len(protein) for n in counts.values()])
    result = held_out_perplexity(
        model, [tokenizer.encoded(protein)], frequencies, tokenizer, tokens_per_batch=1000
    )
    entropy = -sum(n / len(protein) * log(n / len(protein)) for n in counts.values())
    assert result.unigram == pytest.approx(exp(entropy), rel=1e-9)


def test_frequencies_count_standard_residues_each_once_more_than_it_occurs(
    tokenizer: ProteinTokenizer,
) -> None:
    frequencies = residue_frequencies(np.bincount(tokenizer.encode("AAAWX-<mask>"), minlength=33), tokenizer)
    expected = [1 + "AAAW".count(residue) for residue in STANDARD_RESIDUES]
    np.testing.assert_allclose(frequencies, np.array(expected) / 24)


def test_the_own_composition_perplexity_is_that_of_a_plain_loop(
    judge: Judge, proteins: list[str], unigram: NDArray[np.float64], tokenizer: ProteinTokenizer
) -> None:
    prior = dict(zip(STANDARD_RESIDUES, unigram, strict=True))
    losses = []
    for number, protein in enumerate(proteins):
        parts = _deal(tokenizer.encoded(protein), tokenizer, 0, number).part[1:-1]
        for residue, part in zip(protein, parts, strict=True):
            if residue in prior:
                seen = [r for r, p in zip(protein, parts, strict=True) if r in prior and p != part]
                share = (seen.count(residue) + PRIOR_RESIDUES * prior[residue]) / (len(seen) + PRIOR_RESIDUES)
                losses.append(-log(share))
    assert judge(proteins).own_composition == pytest.approx(exp(sum(losses) / len(losses)), rel=1e-9)


def test_every_standard_residue_is_hidden_once_and_nothing_else(
    judge: Judge, watched: list[PackedBatch], tokenizer: ProteinTokenizer
) -> None:
    protein = "ACDEFGHIKLMNPQRSTVWYXBUZOJACDEF"
    result = judge([protein])
    masked = torch.stack([batch.tokens == tokenizer.mask for batch in watched])
    is_standard = [False, *(residue in STANDARD_RESIDUES for residue in protein), False]
    assert masked.sum(0).tolist() == is_standard
    assert len(watched) == N_PARTS
    per_part = masked.sum(1)
    assert per_part.max() - per_part.min() <= 1
    assert result.n_residues == sum(is_standard)


def test_what_is_hidden_is_really_hidden_from_its_own_prediction(
    judge: Judge, watched: list[PackedBatch]
) -> None:
    """Two proteins that differ in one residue give one batch where that residue is to be predicted."""
    protein, other = "ACDEFGHIKLMNPQRSTVWY", "ACDEFGHIKLMNPQRSTVWW"
    judge([protein])
    judge([other])
    pairs = list(zip(watched[:N_PARTS], watched[N_PARTS:], strict=True))
    same = [torch.equal(first.tokens, second.tokens) for first, second in pairs]
    assert same.count(True) == 1
    (first, _) = pairs[same.index(True)]
    assert first.tokens[20] == ProteinTokenizer().mask


def test_a_model_that_repeats_what_it_sees_gains_nothing(
    model: MaskedLM, judge: Judge, monkeypatch: pytest.MonkeyPatch, tokenizer: ProteinTokenizer
) -> None:
    """Where a residue could be seen, such a model would have a perplexity of 1."""
    n = len(tokenizer.vocabulary)
    monkeypatch.setattr(model.encoder, "forward", lambda batch: torch.eye(n)[batch.tokens] * 100)
    monkeypatch.setattr(model, "logits", lambda hidden: hidden)
    assert judge(["ACDEFGHIKLMNPQRSTVWY" * 3]).model == pytest.approx(20)


def test_a_better_model_has_a_lower_perplexity(
    model: MaskedLM, judge: Judge, monkeypatch: pytest.MonkeyPatch, tokenizer: ProteinTokenizer
) -> None:
    """One that gives the residue that stood there a probability of a half."""
    true = torch.from_numpy(tokenizer.encode("ACDEFGHIKL")).long()
    scores = torch.zeros(len(true), len(tokenizer.vocabulary))
    scores[torch.arange(len(true)), true] = log(19)  # against 19 others of score 0
    monkeypatch.setattr(model.encoder, "forward", lambda batch: scores)
    monkeypatch.setattr(model, "logits", lambda hidden: hidden)
    assert judge(["ACDEFGHIKL"]).model == pytest.approx(2)


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 10_000])
def test_the_result_does_not_depend_on_the_batches(
    tokens_per_batch: int, judge: Judge, proteins: list[str]
) -> None:
    first, other = judge(proteins), judge(proteins, tokens_per_batch=tokens_per_batch)
    assert other.model == pytest.approx(first.model, rel=1e-5)
    assert other.n_residues == first.n_residues
    assert (other.unigram, other.own_composition) == pytest.approx((first.unigram, first.own_composition))


def test_another_seed_deals_the_residues_otherwise(judge: Judge, proteins: list[str]) -> None:
    assert judge(proteins) == judge(proteins)
    assert judge(proteins, seed=1).model != judge(proteins).model


def test_proteins_with_nothing_to_predict_do_no_harm(judge: Judge, proteins: list[str]) -> None:
    with_others, without = judge([*proteins, "XXX", "A"]), judge([*proteins, "A"])
    assert with_others.n_sequences == len(proteins) + 2
    assert (
        with_others.n_residues
        == sum(Counter("".join(proteins))[residue] for residue in STANDARD_RESIDUES) + 1
    )
    assert with_others.unigram == pytest.approx(without.unigram)


def test_progress_ends_with_all_the_work(
    model: MaskedLM, unigram: NDArray[np.float64], proteins: list[str], tokenizer: ProteinTokenizer
) -> None:
    calls: list[tuple[int, int]] = []
    held_out_perplexity(
        model, [*map(tokenizer.encoded, proteins)], unigram, tokenizer, tokens_per_batch=50,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    n_tokens = sum(len(protein) + 2 for protein in proteins)
    assert calls[-1] == (n_tokens, n_tokens)
    assert calls == sorted(calls)


def test_intervals_hold_the_perplexities_and_narrow_with_more_proteins(judge: Judge) -> None:
    rng = np.random.default_rng(1)
    many = ["".join(rng.choice(list(STANDARD_RESIDUES), 40)) for _ in range(60)]
    few, all_ = judge(many[:10], tokens_per_batch=1000), judge(many, tokens_per_batch=1000)
    for found in (few, all_):
        for name, (low, high) in found.intervals.items():
            assert low < getattr(found, name) < high, name
    assert set(all_.intervals) == {"model", "unigram", "own_composition"}
    widths = [np.subtract(*found.intervals["model"][::-1]) for found in (few, all_)]
    assert widths[1] < 0.7 * widths[0]


def test_proteins_are_drawn_whole(judge: Judge) -> None:
    """Two kinds of protein, alike within a kind: the spread is that between the kinds, not of residues."""
    (low, high) = judge(["A" * 70, "W" * 70] * 4, tokens_per_batch=1000).intervals["unigram"]
    alone = [judge([residue * 70]).unigram for residue in "AW"]
    assert high / low > 0.5 * max(alone) / min(alone)


def test_a_single_protein_has_no_interval(judge: Judge) -> None:
    assert judge(["ACDEFGHIKLMNPQ"]).intervals == {}
    assert judge(["ACDEFGHIKLMNPQ", "XXX"]).intervals == {}


def test_likelihoods_that_are_not_finite_are_an_error_with_the_protein_and_the_weight(
    model: MaskedLM, judge: Judge, proteins: list[str]
) -> None:
    with torch.no_grad():
        model.get_parameter("head.dense.bias")[0] = torch.inf
    with pytest.raises(ModelError) as caught:
        judge(proteins)
    assert "held-out protein" in str(caught.value)
    assert "head.dense.bias are infinite" in str(caught.value)
