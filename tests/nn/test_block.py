"""Blocks against torch's own layer and against their equations."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from biofm_kernels import attention
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn import EncoderConfig, MaskedLM, PackedBatch, pack

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]

TORCH_NAMES = {
    "attention.qkv.weight": "self_attn.in_proj_weight",
    "attention.qkv.bias": "self_attn.in_proj_bias",
    "attention.out": "self_attn.out_proj",
    "attention_norm": "norm1",
    "feedforward_norm": "norm2",
    "feedforward.up": "linear1",
    "feedforward.down": "linear2",
}


@pytest.fixture
def batch() -> PackedBatch:
    return pack([torch.zeros(9, dtype=torch.long), torch.zeros(4, dtype=torch.long)])


@pytest.fixture
def stream(batch: PackedBatch) -> Tensor:
    return torch.randn(len(batch.tokens), 24)


def torch_layer(block: nn.Module, config: EncoderConfig, **options: Any) -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(
        config.d_model, config.n_heads, config.d_feedforward, dropout=0.0, batch_first=True, **options
    )
    state = {}
    for name, weight in block.state_dict().items():
        theirs = next(old for old in TORCH_NAMES if name.startswith(old))
        state[name.replace(theirs, TORCH_NAMES[theirs])] = weight
    layer.load_state_dict(state)
    return layer.eval()


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("order", ["pre", "post"])
def test_a_block_is_torchs_transformer_layer(
    order: str,
    activation: str,
    batch: PackedBatch,
    stream: Tensor,
    make_config: MakeConfig,
    make_model: MakeModel,
) -> None:
    config = make_config(norm_order=order, feedforward=activation, positions="none")
    block = make_model(config).encoder.blocks[0]
    layer = torch_layer(block, config, activation=activation, norm_first=order == "pre")
    with torch.no_grad():
        expected = torch.cat([layer(x[None])[0] for x in stream.split([9, 4])])
    torch.testing.assert_close(block(stream, batch, None), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", ["pre", "post"])
def test_each_branch_is_divided_by_the_residual_scale(
    order: str, batch: PackedBatch, stream: Tensor, make_config: MakeConfig, make_model: MakeModel
) -> None:
    block = make_model(make_config(norm_order=order, residual_scale=2.5)).encoder.blocks[0]
    if order == "pre":
        middle = stream + block.attention(block.attention_norm(stream), batch, None) / 2.5
        expected = middle + block.feedforward(block.feedforward_norm(middle)) / 2.5
    else:
        middle = block.attention_norm(stream + block.attention(stream, batch, None) / 2.5)
        expected = block.feedforward_norm(middle + block.feedforward(middle) / 2.5)
    torch.testing.assert_close(block(stream, batch, None), expected)


def test_swiglu_gates_the_up_projection(
    stream: Tensor, make_config: MakeConfig, make_model: MakeModel
) -> None:
    part = make_model(make_config(feedforward="swiglu", linear_bias=False)).encoder.blocks[0].feedforward
    gate, up = part.gate_up.weight.split(40)
    expected = (F.silu(stream @ gate.T) * (stream @ up.T)) @ part.down.weight.T
    torch.testing.assert_close(part(stream), expected, rtol=1e-5, atol=1e-5)


def test_queries_and_keys_are_normed_over_the_whole_width(
    batch: PackedBatch, stream: Tensor, make_config: MakeConfig, make_model: MakeModel
) -> None:
    part = make_model(make_config(qk_norm=True, norm_bias=False)).encoder.blocks[0].attention
    weights = part.state_dict()

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return weight * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    q, k, v = (stream @ weights["qkv.weight"].T + weights["qkv.bias"]).split(24, dim=-1)
    q, k = norm(q, weights["q_norm.weight"]), norm(k, weights["k_norm.weight"])
    q, k, v = (x.unflatten(-1, (2, 12)) for x in (q, k, v))
    mixed = attention(q, k, v, batch.cu_seqlens, batch.max_seqlen).flatten(1)
    torch.testing.assert_close(part(stream, batch, None), part.out(mixed), rtol=1e-5, atol=1e-5)


def test_the_norms_of_blocks_may_have_biases_where_others_have_none(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    config = make_config(norm_bias=False, block_norm_bias=True, linear_bias=False, qk_norm=True, n_layers=1)
    names = [name for name, _ in make_model(config).encoder.named_parameters()]
    assert [name for name in names if name.endswith("bias")] == [
        "blocks.0.attention_norm.bias",
        "blocks.0.feedforward_norm.bias",
    ]


def test_without_biases_there_are_none(make_config: MakeConfig, make_model: MakeModel) -> None:
    config = make_config(norm_bias=False, linear_bias=False, feedforward="swiglu", qk_norm=True)
    names = [name for name, _ in make_model(config).encoder.named_parameters()]
    assert [name for name in names if name.endswith("bias")] == []
