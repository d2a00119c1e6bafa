"""The perplexity of a causal model is what its definition says."""

from math import exp, log

import numpy as np
import pytest
import torch

from biofm.core import ModelError
from biofm.evaluation import HeldOutPerplexity, held_out_perplexity, residue_frequencies
from biofm.evaluation.perplexity import PRIOR_RESIDUES
from biofm.modalities import STANDARD_RESIDUES, ProteinTokenizer
from biofm.nn import MaskedLM, pack
from tests.evaluation.conftest import make_model

TOKENIZER = ProteinTokenizer()
PROTEINS = ["MKTAYIAKQR", "AXA", "WWWWWWWWWWWW", "M"]
UNIGRAM = residue_frequencies(np.bincount(TOKENIZER.encode("".join(PROTEINS)), minlength=33), TOKENIZER)


@pytest.fixture
def model() -> MaskedLM:
    return make_model(causal=True)


def judge(model: MaskedLM, proteins: list[str], tokens_per_batch: int = 100) -> HeldOutPerplexity:
    encoded = [*map(TOKENIZER.encoded, proteins)]
    return held_out_perplexity(model, encoded, UNIGRAM, TOKENIZER, tokens_per_batch=tokens_per_batch)


def test_it_is_that_of_a_plain_loop_over_prefixes(model: MaskedLM) -> None:
    prior = dict(zip(STANDARD_RESIDUES, UNIGRAM, strict=True))
    losses: dict[str, list[float]] = {"model": [], "unigram": [], "own_composition": []}
    standard = torch.from_numpy(TOKENIZER.scored).long()
    for protein in PROTEINS:
        tokens = torch.from_numpy(TOKENIZER.encode(protein)).long()
        for place, residue in enumerate(protein):
            if residue not in STANDARD_RESIDUES:
                continue
            with torch.no_grad():
                scores = model(pack([tokens[: place + 1]]))[-1, standard]
            losses["model"].append(-float(scores.log_softmax(-1)[STANDARD_RESIDUES.index(residue)]))
            losses["unigram"].append(-log(prior[residue]))
            before = [r for r in protein[:place] if r in STANDARD_RESIDUES]
            share = (before.count(residue) + PRIOR_RESIDUES * prior[residue]) / (len(before) + PRIOR_RESIDUES)
            losses["own_composition"].append(-log(share))
    found = judge(model, PROTEINS)
    assert (found.n_sequences, found.n_residues) == (4, 25)
    for name, values in losses.items():
        assert getattr(found, name) == pytest.approx(exp(np.mean(values)), rel=1e-5), name
        low, high = found.intervals[name]
        assert low < getattr(found, name) < high


def test_batches_change_nothing(model: MaskedLM) -> None:
    one, other = judge(model, PROTEINS, 5), judge(model, PROTEINS, 1000)
    assert one.model == pytest.approx(other.model, rel=1e-6)


def test_without_proteins_it_is_1_over_nothing(model: MaskedLM) -> None:
    assert judge(model, []) == HeldOutPerplexity(
        n_sequences=0, n_residues=0, model=1.0, unigram=1.0, own_composition=1.0
    )


def test_likelihoods_that_are_not_finite_are_an_error_with_the_protein_and_the_weight(
    model: MaskedLM,
) -> None:
    with torch.no_grad():
        model.encoder.blocks[0].get_parameter("feedforward.down.bias")[0] = torch.nan
    with pytest.raises(ModelError) as caught:
        judge(model, PROTEINS)
    assert "held-out protein" in str(caught.value)
    assert "encoder.blocks.0.feedforward.down.bias are NaN" in str(caught.value)
