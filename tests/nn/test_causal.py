"""A causal encoder looks back alone, in every backend and with rows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from biofm_kernels import backend
from torch import Tensor

from biofm.nn import EncoderConfig, MaskedLM, pack, queries_and_keys

BARE = {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "qk_norm": True}
LEARNED = {"positions": "learned", "n_positions": 64}
SHAPES: dict[str, dict[str, Any]] = {
    "pre-norm, rotary": BARE,
    "pre-norm, learned": LEARNED,
    "post-norm, no positions": {"norm_order": "post", "final_norm": False, "positions": "none"},
}
BACKENDS = ["grouped", "reference"]

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


@pytest.fixture(params=list(SHAPES.values()), ids=list(SHAPES))
def model(request: pytest.FixtureRequest, make_config: MakeConfig, make_model: MakeModel) -> MaskedLM:
    return make_model(make_config(**request.param, causal=True))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_later_token_never_changes_an_earlier_hidden_state(
    name: str, model: MaskedLM, sequences: list[Tensor]
) -> None:
    before, place = sequences[2], 8
    after = before.clone()
    after[place] = (after[place] + 1) % 10
    others = sequences[:2]
    with backend(name):
        for layer in range(model.config.n_layers + 1):
            first, second = (
                model.encoder(pack([*others, tokens]), layer)[-len(before) :] for tokens in (before, after)
            )
            assert torch.equal(first[:place], second[:place]), f"layer {layer}"
            assert not torch.equal(first[place], second[place])
            assert (layer == 0) == torch.equal(first[place + 1 :], second[place + 1 :])


@pytest.mark.parametrize("name", BACKENDS)
def test_it_attends_by_a_plain_masked_softmax(name: str, model: MaskedLM, sequences: list[Tensor]) -> None:
    batch = pack(sequences[-1:])
    part = model.encoder.blocks[0].attention
    x = torch.randn(len(batch.tokens), 24)
    angles = model.encoder.rotary(batch.positions, batch.end)
    q, k = part.queries_and_keys(x, angles)
    v = part.qkv(x).chunk(3, dim=-1)[2].unflatten(-1, (2, 12))
    ahead = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    scores = torch.einsum("qhd,khd->hqk", q, k) / 12**0.5
    weights = scores.masked_fill(ahead, -torch.inf).softmax(-1)
    expected = part.out(torch.einsum("hqk,khd->qhd", weights, v).flatten(1))
    with backend(name):
        torch.testing.assert_close(part(x, batch, angles), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_rows_are_those_of_the_full_run(name: str, model: MaskedLM, sequences: list[Tensor]) -> None:
    batch = pack(sequences)
    indices = torch.tensor([0, 3, 9, 31, 60])
    with backend(name):
        for layer in range(model.config.n_layers + 1):
            found = model.encoder(batch, layer, batch.rows(indices))
            everything = model.encoder(batch, layer)
            torch.testing.assert_close(found, everything[indices], rtol=1e-5, atol=1e-5)


def test_the_gradient_of_an_early_token_knows_no_later_one(model: MaskedLM, sequences: list[Tensor]) -> None:
    """What is wanted of row i pulls on the vectors of the tokens up to i alone."""
    encoder, batch, row = model.encoder, pack(sequences[-1:]), 5
    vectors = encoder.embedding(batch).detach().requires_grad_()
    encoder.embedding.register_forward_hook(lambda *_: vectors)
    encoder(batch)[row].square().sum().backward()
    assert vectors.grad is not None
    reached = vectors.grad.abs().sum(1) > 0
    assert reached.tolist() == [place <= row for place in range(len(batch.tokens))]


def test_it_gives_no_contacts(model: MaskedLM, sequences: list[Tensor]) -> None:
    with pytest.raises(AssertionError, match="a causal encoder only looks back"):
        next(queries_and_keys(model.encoder, pack(sequences)))
