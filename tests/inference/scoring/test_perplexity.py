"""Perplexities of sequences that repeat and of such with masks, and how far they are while they are made."""

from collections import Counter

import pytest
import torch
from biofm_datasets import Record

from biofm.core.choices import PerplexityMethod
from biofm.inference import Compute, QueryRunner
from biofm.inference.scoring import PERPLEXITY_METHODS, ScoringModel, perplexities
from biofm.modalities import ProteinTokenizer
from biofm.models import esm2
from biofm.nn import MaskedLM, initialise

TOKENIZER = ProteinTokenizer()
CPU = Compute(torch.device("cpu"), torch.float32, "as asked")


@pytest.fixture
def model() -> ScoringModel:
    """Of windows of eight residues, in batches of thirty tokens."""
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=1)
    return ScoringModel(QueryRunner(module.eval(), TOKENIZER.mask, CPU, 30), TOKENIZER, 10)


def records(*sequences: str) -> list[Record]:
    return [Record(id=str(i), sequence=sequence) for i, sequence in enumerate(sequences)]


@pytest.mark.parametrize("method", PERPLEXITY_METHODS)
def test_progress_comes_batch_by_batch_and_ends_at_the_whole_input(
    method: PerplexityMethod, model: ScoringModel
) -> None:
    heard: list[tuple[int, float]] = []
    proteins = records("MKTAYIAKQRQIS", "MKTAY", "MKTAYIAKQRQIS", "MK<mask>AYIAK")
    (found,) = perplexities(proteins, model, method, Counter(), lambda *so_much: heard.append(so_much))
    assert found.values[0] == found.values[2]
    assert len(heard) > 1
    assert sum(n_characters for _, n_characters in heard) == pytest.approx(13 + 5 + 13 + 13)


@pytest.mark.parametrize("method", PERPLEXITY_METHODS)
def test_a_mask_is_one_residue_that_is_left_out(method: PerplexityMethod, model: ScoringModel) -> None:
    notices: Counter[str] = Counter()
    (found,) = perplexities(records("MK<mask>AY"), model, method, notices)
    assert (found.n_residues, found.windowed) == ([4], [False])
    assert +notices == {"residues left out, because they stand for no single amino acid": 1}
