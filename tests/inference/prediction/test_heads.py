"""Heads from their tensors: what they give, and what is refused."""

import numpy as np
import pytest
import torch
from torch import Tensor

from biofm.core import ModelError
from biofm.inference.prediction import linear_head
from biofm.inference.prediction.heads import pool_by_attention, read_head
from biofm.modalities import ProteinTokenizer
from biofm.nn import EncoderConfig, MaskedLM, SequenceModel, initialise, initialise_head, pack

WEIGHTS = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], np.float32)
BIAS = np.array([0.0, 1.0, -1.0], np.float32)
ROWS = np.array([[0.5, -1.0], [2.0, 3.0]], np.float32)
ONES = np.ones(2, np.int64)


def test_each_task_has_its_outputs() -> None:
    logits = ROWS @ WEIGHTS.T + BIAS
    np.testing.assert_allclose(
        linear_head("regression", WEIGHTS, BIAS).outputs(ROWS, ONES), logits, atol=1e-6
    )
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for task in ("classification", "per-residue"):
        np.testing.assert_allclose(linear_head(task, WEIGHTS, BIAS).outputs(ROWS, ONES), softmax, atol=1e-6)
    sigmoid = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(
        linear_head("multi-label", WEIGHTS, BIAS).outputs(ROWS, ONES), sigmoid, atol=1e-6
    )


@pytest.mark.parametrize("n_hidden", [0, 5])
def test_a_head_is_read_as_it_was_written(n_hidden: int) -> None:
    torch.manual_seed(0)
    state = {"head.1.weight": torch.randn(n_hidden or 3, 2), "head.1.bias": torch.randn(n_hidden or 3)}
    if n_hidden:
        state |= {"head.4.weight": torch.randn(3, n_hidden), "head.4.bias": torch.randn(3)}
    scaling = {"targets.shift": torch.arange(3.0), "targets.scale": torch.ones(3) * 2}
    head = read_head("regression", state | scaling, "it")
    assert (head.d_model, head.n_outputs) == (2, 3)
    again = read_head("regression", head.state(), "it")
    np.testing.assert_array_equal(again.outputs(ROWS, ONES), head.outputs(ROWS, ONES))
    plain = read_head(
        "regression", state | {"targets.shift": torch.zeros(3), "targets.scale": torch.ones(3)}, "it"
    )
    np.testing.assert_allclose(
        head.outputs(ROWS, ONES), plain.outputs(ROWS, ONES) * 2 + np.arange(3), atol=1e-6
    )


def test_attention_pools_as_in_training() -> None:
    """Residue vectors, ends left out, against the module that is trained on packed tokens."""
    tokenizer = ProteinTokenizer()
    config = EncoderConfig(
        vocab_size=len(tokenizer.vocabulary),
        d_model=16,
        n_layers=1,
        n_heads=2,
        d_feedforward=24,
        trained_length=64,
    )
    model = MaskedLM(config)
    initialise(model, 0)
    predictor = SequenceModel(model.encoder, "attention", 1, special_tokens=tokenizer.special)
    initialise_head(predictor, 0)
    predictor.pool.query.data = torch.randn(16, generator=torch.Generator().manual_seed(1))
    sequences = ["MKTAYIAK", "GG", "WWWWLLLLKK"]
    batch = pack([torch.from_numpy(tokenizer.encode(one).astype(np.int64)) for one in sequences])
    with torch.no_grad():
        hidden = predictor.encoder(batch)
        expected = predictor.pool(hidden, batch)
    lengths = [len(one) for one in sequences]
    residues = torch.cat([part[1:-1] for part in hidden.split([n + 2 for n in lengths])])
    found = pool_by_attention(residues, predictor.pool.query.detach(), lengths)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


WRONG: dict[str, dict[str, Tensor]] = {
    "no weights": {"head.1.bias": torch.zeros(3)},
    "another shape": {"head.1.weight": torch.zeros(3, 2), "head.1.bias": torch.zeros(4)},
    "no scale": {"head.1.weight": torch.zeros(3, 2), "head.1.bias": torch.zeros(3)},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_head_that_does_not_fit_is_refused(wrong: str) -> None:
    with pytest.raises(ModelError, match="it: the tensors of a head do not fit"):
        read_head("regression", WRONG[wrong], "it")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_head_that_is_not_finite_is_refused_with_its_tensor(value: float) -> None:
    state = {"head.1.weight": torch.from_numpy(WEIGHTS), "head.1.bias": torch.tensor([0.0, value, 0.0])}
    with pytest.raises(ModelError, match=r"it: the tensor head\.1\.bias of a head holds NaN or infinity"):
        read_head("classification", state, "it")
