"""The contact head: what it is made of, whatever encoder it reads."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from biofm.nn import ContactHead, EncoderConfig, MaskedLM, attention_maps, pack, queries_and_keys

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


def head_of(config: EncoderConfig) -> ContactHead:
    head = ContactHead(config).requires_grad_(False)
    head.regression.weight.normal_()
    return head


@pytest.fixture
def proteins(sequences: list[Tensor]) -> list[Tensor]:
    """Those of three tokens and more: <cls>, residues, <eos>."""
    return [tokens for tokens in sequences if len(tokens) > 2]


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_the_rows_of_an_attention_map_sum_to_one(size: float) -> None:
    q, k = (size * torch.randn(40, 5, 12) for _ in range(2))
    (maps,) = attention_maps(q, k)
    assert maps.shape == (5, 40, 40)
    torch.testing.assert_close(maps.sum(-1), torch.ones(5, 40))


def test_attention_maps_are_what_every_layer_attends_with(
    with_contacts: EncoderConfig, make_model: MakeModel, proteins: list[Tensor]
) -> None:
    encoder, batch = make_model(with_contacts).encoder, pack(proteins[-1:])
    calls: list[tuple[Tensor, Tensor]] = []
    for block in encoder.blocks:
        block.attention.register_forward_hook(lambda part, inputs, out: calls.append((inputs[0], out)))
    encoder(batch)
    for block, (x, expected), (q, k) in zip(
        encoder.blocks, calls[:], queries_and_keys(encoder, batch), strict=True
    ):
        (maps,) = attention_maps(q, k)
        v = block.attention.qkv(x).chunk(3, dim=-1)[2].unflatten(-1, (2, 12))
        mixed = torch.einsum("hij,jhd->ihd", maps, v).flatten(1)
        torch.testing.assert_close(block.attention.out(mixed), expected, atol=1e-5, rtol=1e-5)


def test_contacts_follow_the_formula(
    with_contacts: EncoderConfig, make_model: MakeModel, proteins: list[Tensor]
) -> None:
    encoder, head = make_model(with_contacts).encoder, head_of(with_contacts)
    batch = pack(proteins[-1:])
    seen = [maps for q, k in queries_and_keys(encoder, batch) for maps in attention_maps(q, k)]
    maps = torch.cat(seen)[:, 1:-1, 1:-1]
    maps = maps + maps.mT
    rows, total = maps.sum(-1, keepdim=True), maps.sum((-1, -2), keepdim=True)
    features = (maps - rows * rows.mT / total).movedim(0, -1)
    expected = torch.sigmoid(head.regression(features).squeeze(-1))
    torch.testing.assert_close(head(encoder, batch)[0], expected, atol=1e-6, rtol=0)


def test_contacts_are_exactly_symmetric(
    make_config: MakeConfig, make_model: MakeModel, proteins: list[Tensor]
) -> None:
    config = make_config()
    found = head_of(config)(make_model(config).encoder, pack(proteins))
    assert [len(one) for one in found] == [len(tokens) - 2 for tokens in proteins]
    assert all(torch.equal(one, one.T) for one in found)


def test_contacts_of_a_half_precision_model_are_float32_and_near(
    make_config: MakeConfig, make_model: MakeModel, proteins: list[Tensor]
) -> None:
    config = make_config()
    model, head = make_model(config), head_of(config)
    expected = head(model.encoder, pack(proteins))
    found = head.bfloat16()(model.bfloat16().encoder, pack(proteins))
    assert {one.dtype for one in found} == {torch.float32}
    assert max(float((one - other).abs().max()) for one, other in zip(found, expected, strict=True)) < 0.05


def test_a_head_that_looks_at_nothing_but_the_ends_makes_no_nan() -> None:
    config = EncoderConfig(
        vocab_size=4, d_model=2, n_layers=1, n_heads=1, d_feedforward=2, trained_length=8, positions="none",
        final_norm=False,
    )  # fmt: skip
    model = MaskedLM(config).requires_grad_(False)
    model.encoder.embedding.tokens.weight.copy_(torch.tensor([[1.0, -1], [-1, 1], [-1, 1], [1, -1]]))
    qkv = model.encoder.blocks[0].attention.qkv
    qkv.weight.zero_()
    qkv.bias.copy_(torch.tensor([300.0, -300, 0, 0, 0, 0]))
    qkv.weight[2:4] = torch.eye(2)
    head = head_of(config)
    head.regression.weight.fill_(30)
    (found,) = head(model.encoder, pack([torch.tensor([0, 1, 1, 3])]))
    assert found.isfinite().all()
