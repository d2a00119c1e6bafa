"""Blocks that are computed again or compiled give the same loss and the same gradients."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

from biofm.nn import (
    EncoderConfig,
    MaskedLM,
    PackedBatch,
    compile_blocks,
    pack,
    recompute_blocks,
    restore_blocks,
)

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]

BARE = {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "qk_norm": True}
BATCHES = ([7, 3, 40], [12, 1], [30], [2, 3, 4, 5, 6])


@pytest.fixture
def model(family: EncoderConfig, make_model: MakeModel) -> MaskedLM:
    return make_model(family).train().requires_grad_()


@pytest.fixture
def _symbolic() -> Iterator[None]:
    """What the compiler learned before, and what it was told, is forgotten before and after."""
    before = torch._dynamo.config.specialize_float
    torch.compiler.reset()
    yield
    torch.compiler.reset()
    torch._dynamo.config.specialize_float = before


def loss_and_gradients(model: MaskedLM, batch: PackedBatch) -> tuple[Tensor, list[Tensor]]:
    rows = batch.rows(torch.arange(1, len(batch.tokens), 3))
    loss = model(batch, rows).square().mean() + model.encoder(batch).square().mean()
    return loss.detach(), list(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))


def saved_bytes(compute: Callable[[], Tensor]) -> int:
    """How much is kept for a backward pass, besides the weights; ``compute`` gives what it starts from."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter) and not isinstance(tensor._base, nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        start = compute()
    assert start.requires_grad
    return sum(kept.values())


def test_blocks_computed_again_give_the_same_bits(model: MaskedLM, sequences: list[Tensor]) -> None:
    batch, names = pack(sequences), list(model.state_dict())
    expected, gradients = loss_and_gradients(model, batch)
    recompute_blocks(model.encoder)
    found, again = loss_and_gradients(model, batch)
    assert torch.equal(found, expected)
    assert all(torch.equal(one, other) for one, other in zip(again, gradients, strict=True))
    assert list(model.state_dict()) == names


def test_of_a_block_that_is_computed_again_its_input_alone_is_kept(
    make_config: MakeConfig, make_model: MakeModel, sequences: list[Tensor]
) -> None:
    encoder = make_model(make_config()).requires_grad_().encoder
    batch = pack(sequences)

    def final_layer() -> Tensor:
        return encoder(batch, 3)

    whole = saved_bytes(final_layer)
    recompute_blocks(encoder)
    d_model, n_layers = 24, 3
    of_inputs = n_layers * d_model * 4
    of_final_norm, of_token_numbers = (d_model + 2) * 4, 8
    assert saved_bytes(final_layer) == len(batch.tokens) * (of_inputs + of_final_norm + of_token_numbers)
    assert whole > 10 * saved_bytes(final_layer)


def test_random_numbers_are_drawn_again_as_they_were(
    make_config: MakeConfig, make_model: MakeModel, sequences: list[Tensor]
) -> None:
    model, batch = make_model(make_config()).requires_grad_().train(), pack(sequences)
    for block in model.encoder.blocks:
        block.feedforward.register_forward_hook(lambda *call: F.dropout(call[-1], 0.5))
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(loss_and_gradients(model, batch)[1])
        recompute_blocks(model.encoder)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_copy_computes_with_weights_of_its_own(
    make_config: MakeConfig, make_model: MakeModel, sequences: list[Tensor]
) -> None:
    model, batch = make_model(make_config()), pack(sequences)
    plain = deepcopy(model)
    recompute_blocks(model.encoder)
    copy = deepcopy(model)
    for weight in (*plain.parameters(), *copy.parameters()):
        weight.data *= 1.5
    assert torch.equal(copy(batch), plain(batch))
    assert not torch.equal(model(batch), copy(batch))


@pytest.mark.usefixtures("_unchecked_shapes", "_symbolic")
@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "computed again"])
def test_all_blocks_and_batches_of_all_sizes_share_one_compiled_graph(
    recomputed: bool, make_config: MakeConfig, make_model: MakeModel
) -> None:
    model = make_model(make_config(**BARE, n_layers=4)).requires_grad_()
    compiled, graphs = deepcopy(model), []
    if recomputed:
        recompute_blocks(compiled.encoder)

    def count(graph: GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    compile_blocks(compiled.encoder, count)
    assert list(compiled.state_dict()) == list(model.state_dict())
    for lengths in BATCHES:
        batch = pack([torch.randint(0, 10, (n,)) for n in lengths])
        for one in (model, compiled):
            one.zero_grad()
            one.encoder(batch).square().mean().backward()
        for weight, expected in zip(compiled.encoder.parameters(), model.encoder.parameters(), strict=True):
            torch.testing.assert_close(weight.grad, expected.grad, rtol=1e-4, atol=1e-6)
        # Around the blocks, the tests' checks of shapes tell a call with rows from one without.
        assert len(graphs) <= 2


@pytest.mark.slow
@pytest.mark.usefixtures("_unchecked_shapes", "_symbolic")
@pytest.mark.parametrize(
    ("fields", "recomputed"),
    [({**BARE, "residual_scale": 1.7}, False), ({**BARE, "causal": True}, True), ({"mask_token": 10}, False)],
    ids=["ESM C", "biofm, causal, computed again", "ESM-2"],
)
def test_compiled_blocks_give_the_same_loss_and_gradients(
    fields: dict[str, Any], recomputed: bool, make_config: MakeConfig, make_model: MakeModel
) -> None:
    model = make_model(make_config(**fields)).train().requires_grad_()
    compiled = deepcopy(model)
    if recomputed:
        recompute_blocks(compiled.encoder)
    compile_blocks(compiled.encoder)
    for lengths in BATCHES:
        batch = pack([torch.randint(0, 10, (n,)) for n in lengths])
        expected, gradients = loss_and_gradients(model, batch)
        found, others = loss_and_gradients(compiled, batch)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        for one, other in zip(others, gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * largest)


@pytest.mark.usefixtures("_symbolic")
def test_restored_blocks_are_as_they_were(
    make_model: MakeModel, make_config: MakeConfig, sequences: list[Tensor]
) -> None:
    model = make_model(make_config(**BARE)).train().requires_grad_()
    batch = pack(sequences)
    kept = saved_bytes(lambda: model(batch).sum())
    calls = []

    def count(graph: GraphModule, inputs: list[Any]) -> Any:
        calls.append(graph)
        return graph

    recompute_blocks(model.encoder)
    compile_blocks(model.encoder, backend=count)
    restore_blocks(model.encoder)
    assert saved_bytes(lambda: model(batch).sum()) == kept
    assert calls == []
