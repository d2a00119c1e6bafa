"""What wraps a projection, as LoRA does, has its say wherever the projection is used."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from biofm.nn import EncoderConfig, MaskedLM, pack

peft = pytest.importorskip("peft", reason="LoRA comes with the extra train-extras")

PROJECTIONS = ["qkv", "out", "up", "down", "gate_up"]
BARE = {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "qk_norm": True}
SHAPES: dict[str, dict[str, Any]] = {
    "ESM-2": {"mask_token": 10},
    "biofm": BARE,
    "biofm, causal": {**BARE, "causal": True},
    "post-norm": {"norm_order": "post", "final_norm": False, "feedforward": "relu"},
}

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


def with_lora(model: MaskedLM) -> MaskedLM:
    """LoRA on every projection, with weights that are not zero."""
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=PROJECTIONS)
    peft.inject_adapter_in_model(config, model.encoder)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES)
def test_rows_with_lora_are_those_of_the_full_run(
    fields: dict[str, Any], sequences: list[Tensor], make_config: MakeConfig, make_model: MakeModel
) -> None:
    model = make_model(make_config(**fields))
    batch, indices = pack(sequences), torch.tensor([0, 3, 9, 31, 60])
    plain = model.encoder(batch)
    encoder = with_lora(model).encoder
    for layer in range(1, model.config.n_layers + 1):
        found, everything = encoder(batch, layer, batch.rows(indices)), encoder(batch, layer)
        torch.testing.assert_close(found, everything[indices], rtol=1e-5, atol=1e-5)
    assert (everything - plain).abs().max() > 0.1, "LoRA changed nothing"


@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES)
def test_every_lora_weight_learns_from_rows_alone(
    fields: dict[str, Any], sequences: list[Tensor], make_config: MakeConfig, make_model: MakeModel
) -> None:
    """In the last layer as well, which works on rows."""
    model = with_lora(make_model(make_config(**fields)))
    batch = pack(sequences)
    adapters = {name: w.requires_grad_() for name, w in model.encoder.named_parameters() if "lora_" in name}
    assert len(adapters) == 2 * 4 * model.config.n_layers
    model.encoder(batch, rows=batch.rows(torch.tensor([3, 9, 60]))).square().sum().backward()
    assert [name for name, w in adapters.items() if w.grad is None or not w.grad.any()] == []


def test_lora_merged_into_the_weights_is_the_same(
    sequences: list[Tensor], make_config: MakeConfig, make_model: MakeModel
) -> None:
    model = with_lora(make_model(make_config(**BARE)))
    batch = pack(sequences)
    rows = batch.rows(torch.tensor([0, 3, 9, 31, 60]))
    apart = model.encoder(batch, rows=rows)
    for part in model.encoder.modules():
        if isinstance(part, peft.tuners.tuners_utils.BaseTunerLayer):
            part.merge()
    torch.testing.assert_close(model.encoder(batch, rows=rows), apart, rtol=1e-4, atol=1e-4)
