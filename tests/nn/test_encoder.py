"""The contract of packing, at every layer and for every family."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from biofm.nn import Encoder, EncoderConfig, MaskedLM, pack

# Matrix products of other shapes add up in another order; float32 carries 24 bits.
TOLERANCE = 5e-6

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


def relative_difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def test_packing_never_changes_a_hidden_state(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    encoder = make_model(family).encoder
    for layer in range(family.n_layers + 1):
        alone = torch.cat([encoder(pack([tokens]), layer) for tokens in sequences])
        assert relative_difference(encoder(pack(sequences), layer), alone) < TOLERANCE, f"layer {layer}"


def test_packing_never_changes_the_logits(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    model = make_model(family)
    alone = torch.cat([model(pack([tokens])) for tokens in sequences])
    assert relative_difference(model(pack(sequences)), alone) < TOLERANCE


def test_the_order_of_sequences_does_not_matter(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    encoder = make_model(family).encoder
    lengths = [len(tokens) for tokens in sequences]
    straight = encoder(pack(sequences)).split(lengths)
    backwards = encoder(pack(sequences[::-1])).split(lengths[::-1])
    for found, expected in zip(backwards[::-1], straight, strict=True):
        assert relative_difference(found, expected) < TOLERANCE


def test_the_order_of_residues_matters_wherever_there_are_positions(
    family: EncoderConfig, make_model: MakeModel
) -> None:
    encoder = make_model(family).encoder
    tokens = torch.tensor([1, 2, 3, 4, 5])
    turned = encoder(pack([tokens.flip(0)])).flip(0)
    blind = relative_difference(turned, encoder(pack([tokens]))) < TOLERANCE
    assert blind == (family.positions == "none")


def test_rotary_positions_may_be_beyond_the_number_of_tokens(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    """Only distances count; where tokens were left out, positions are larger than there are tokens."""
    encoder = make_model(make_config()).encoder
    batch = pack([torch.tensor([1, 2, 3, 4, 5]), torch.tensor([6, 7])])
    moved = replace(batch, positions=batch.positions + 50, n_positions=55)
    assert relative_difference(encoder(moved), encoder(batch)) < 1e-5


def test_an_earlier_layer_is_that_of_the_full_run(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    encoder = make_model(family).encoder
    states: list[Tensor] = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
        block.register_forward_hook(lambda *call: states.append(call[-1]))
    final = encoder(pack(sequences))
    full_run = [states[0], *states[1::2]]
    for layer, state in enumerate(full_run[:-1]):
        assert torch.equal(encoder(pack(sequences), layer), state)
    assert torch.equal(encoder(pack(sequences), family.n_layers), final)
    assert torch.equal(encoder.norm(full_run[-1]), final)
    assert isinstance(encoder.norm, nn.LayerNorm) == family.final_norm


def test_the_states_are_those_of_every_layer_before_the_final_norm(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    encoder = make_model(family).encoder
    batch = pack(sequences)
    *states, last = encoder.states(batch)
    assert len(states) == family.n_layers - 1
    for layer, state in enumerate([*states, encoder.norm(last)], start=1):
        assert torch.equal(state, encoder(batch, layer))


def test_deeper_layers_are_not_computed(
    sequences: list[Tensor], make_config: MakeConfig, make_model: MakeModel
) -> None:
    encoder = make_model(make_config()).encoder
    computed: list[int] = []
    for number, block in enumerate(encoder.blocks):
        block.register_forward_hook(lambda *_, number=number: computed.append(number))
    encoder(pack(sequences), 2)
    assert computed == [0, 1]


ROWS = {"one of each": [0, 7, 9, 20, 33, 40, 50], "some": [1, 2, 8, 9, 10, 86], "first": [0], "none": []}


@pytest.mark.parametrize("indices", ROWS.values(), ids=ROWS)
def test_rows_are_those_of_the_full_run(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel, indices: list[int]
) -> None:
    encoder, batch = make_model(family).encoder, pack(sequences)
    rows = batch.rows(torch.tensor(indices, dtype=torch.int64))
    for layer in range(family.n_layers + 1):
        found, everything = encoder(batch, layer, rows), encoder(batch, layer)
        assert found.shape == (len(indices), family.d_model)
        torch.testing.assert_close(
            found, everything[indices], rtol=0, atol=TOLERANCE * float(everything.abs().max())
        )


def test_the_last_layer_works_on_rows_alone(
    sequences: list[Tensor], make_config: MakeConfig, make_model: MakeModel
) -> None:
    encoder, batch = make_model(make_config()).encoder, pack(sequences)
    seen: list[int] = []
    for block in encoder.blocks:
        block.feedforward.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    encoder(batch, rows=batch.rows(torch.tensor([0, 8])))
    assert seen == [sum(map(len, sequences)), sum(map(len, sequences)), 2]


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_does_not_exist_is_a_programmers_fault(layer: int, make_config: MakeConfig) -> None:
    with pytest.raises(AssertionError, match=f"layer {layer} of 3"):
        Encoder(make_config())(pack([torch.tensor([1])]), layer)


def test_every_weight_has_a_gradient(
    family: EncoderConfig, sequences: list[Tensor], make_model: MakeModel
) -> None:
    model = make_model(family).requires_grad_()
    model(pack(sequences)).square().sum().backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert idle == []


@pytest.mark.slow
@pytest.mark.usefixtures("_unchecked_shapes")
def test_it_compiles_whole_with_symbolic_shapes(family: EncoderConfig, make_model: MakeModel) -> None:
    torch.compiler.reset()  # what it compiled for the other families counts towards a limit
    encoder = make_model(family).encoder
    compiled = torch.compile(encoder, fullgraph=True, dynamic=True, backend="aot_eager")
    for lengths in ([7, 3], [12, 1, 40]):
        batch = pack([torch.randint(0, 10, (n,)) for n in lengths])
        torch.testing.assert_close(compiled(batch), encoder(batch), rtol=1e-5, atol=1e-6)
