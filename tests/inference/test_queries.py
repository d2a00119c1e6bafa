"""The probabilities that a model gives tokens at hidden and shown places."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from biofm.inference import Compute, Query, QueryRunner
from biofm.modalities import ProteinTokenizer
from biofm.models import esm2
from biofm.nn import MaskedLM, initialise, pack

CPU = Compute(torch.device("cpu"), torch.float32, "as asked")
NOTHING = np.empty(0, np.int64)
TOKENIZER = ProteinTokenizer()


@pytest.fixture(scope="module")
def model() -> MaskedLM:
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=1)
    return module.eval()


def places(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def one_by_one(model: MaskedLM, query: Query) -> NDArray[np.float32]:
    tokens = torch.from_numpy(query.tokens.astype(np.int64))
    tokens[torch.from_numpy(query.masked)] = TOKENIZER.mask
    with torch.inference_mode():
        log_p: NDArray[np.float32] = model(pack([tokens])).log_softmax(-1).numpy()
    return log_p[query.read]


def queries() -> list[Query]:
    proteins = [TOKENIZER.encode(sequence) for sequence in ("MKTAYIAKQR", "M", "MVLSPADKTNVKAAWGKVGAHAGEYG")]
    hidden = [Query(tokens, places(i), places(i)) for tokens in proteins for i in range(1, len(tokens) - 1)]
    shown = [Query(tokens, NOTHING, np.arange(len(tokens))) for tokens in proteins]
    mixed = Query(proteins[0], places(2, 5), places(1, 2, 3))
    return [*hidden, *shown, mixed, Query(proteins[2], places(4), NOTHING)]


@pytest.mark.parametrize("tokens_per_batch", [1, 30, 4096])
def test_packed_predictions_are_those_of_one_run_at_a_time(model: MaskedLM, tokens_per_batch: int) -> None:
    asked = queries()
    answers = list(QueryRunner(model, TOKENIZER.mask, CPU, tokens_per_batch).predict(asked))
    assert len(answers) == len(asked)
    for query, answer in zip(asked, answers, strict=True):
        np.testing.assert_allclose(answer, one_by_one(model, query), atol=2e-6)


def test_every_batch_is_heard_of_when_it_has_run_and_not_when_its_answers_are_taken(model: MaskedLM) -> None:
    heard: list[int] = []
    asked = queries()
    answers = QueryRunner(model, TOKENIZER.mask, CPU, 30).predict(asked, heard.append)
    next(answers)
    assert len(heard) > 1
    assert max(heard) <= 30
    list(answers)
    assert sum(heard) == sum(len(query.tokens) for query in asked)


def test_a_query_leaves_its_tokens_as_they_were(model: MaskedLM) -> None:
    tokens = TOKENIZER.encode("MKTAYIAKQR")
    list(QueryRunner(model, TOKENIZER.mask, CPU).predict([Query(tokens, places(3), places(3))]))
    assert TOKENIZER.decode(tokens) == "<cls>MKTAYIAKQR<eos>"


def test_probabilities_of_all_tokens_add_up_to_one(model: MaskedLM) -> None:
    (log_p,) = QueryRunner(model, TOKENIZER.mask, CPU).predict([queries()[0]])
    assert np.exp(log_p).sum() == pytest.approx(1.0, abs=1e-6)
