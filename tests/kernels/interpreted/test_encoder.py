"""The whole encoder on biofm's kernels: the contract of packing at every layer, the numbers of the CPU."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from biofm_kernels import backend, linear_cross_entropy
from torch import Tensor

from biofm.nn import EncoderConfig, MaskedLM, initialise, pack

LENGTHS = [7, 1, 12, 70]
TOLERANCE = 2e-6  # relative to the largest entry of a layer: float32 through three layers

FAMILIES: dict[str, dict[str, Any]] = {
    "ESM-2": {"mask_token": 10},
    "ESM-1b": {"positions": "learned", "n_positions": 80, "embedding_norm": True, "mask_token": 10},
    "ESM C": {
        "norm_bias": False,
        "linear_bias": False,
        "feedforward": "swiglu",
        "qk_norm": True,
        "residual_scale": 1.7,
    },
    "causal": {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "causal": True},
}


# ESM C has all that the others have, but for learned positions and looking back alone.
PARAMS = [
    pytest.param(fields, id=name, marks=[] if name == "ESM C" else pytest.mark.slow)
    for name, fields in FAMILIES.items()
]


@pytest.fixture(params=PARAMS)
def model(request: pytest.FixtureRequest) -> MaskedLM:
    shape: dict[str, Any] = {"d_model": 24, "n_layers": 2, "n_heads": 1, "d_feedforward": 40}
    config = EncoderConfig(vocab_size=11, trained_length=80, **shape, **request.param)
    made = MaskedLM(config)
    initialise(made, 1)
    return made


@pytest.fixture
def sequences() -> list[Tensor]:
    return [torch.randint(0, 10, (length,)) for length in LENGTHS]


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    with backend("triton"):
        yield


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_every_layer_is_that_of_one_sequence_at_a_time_and_of_the_cpu(
    model: MaskedLM, sequences: list[Tensor]
) -> None:
    def states(members: list[Tensor]) -> list[Tensor]:
        return list(model.encoder.states(pack(members)))

    packed, *alone = [states(members) for members in (sequences, *([tokens] for tokens in sequences))]
    with backend("auto"):
        on_cpu = states(sequences)
    for state, expected, *parts in zip(packed, on_cpu, *alone, strict=True):
        assert relative_difference(state, torch.cat(parts)) < TOLERANCE
        assert relative_difference(state, expected) < TOLERANCE


@torch.no_grad()
def test_some_rows_of_the_last_layer_are_those_of_the_cpu(model: MaskedLM, sequences: list[Tensor]) -> None:
    batch = pack(sequences)
    rows = batch.rows(torch.tensor([0, 6, 7, 30]))
    found = model.encoder(batch, rows=rows)
    with backend("auto"):
        assert relative_difference(found, model.encoder(batch, rows=rows)) < TOLERANCE


def test_every_gradient_is_that_of_the_cpu(model: MaskedLM, sequences: list[Tensor]) -> None:
    batch = pack(sequences)

    def gradients() -> tuple[Tensor, ...]:
        hidden = model.encoder(batch)
        losses = linear_cross_entropy(hidden, model.encoder.embedding.tokens.weight, None, batch.tokens)
        used = [weight for name, weight in model.named_parameters() if name.startswith("encoder.")]
        return torch.autograd.grad(losses.mean(), used)

    found = gradients()
    with backend("auto"):
        expected = gradients()
    largest = max(float(gradient.abs().max()) for gradient in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).abs().max()) < TOLERANCE * largest
