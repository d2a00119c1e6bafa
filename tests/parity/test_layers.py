"""Every family against ``transformers``, layer by layer, and against itself in other batches and dtypes."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from biofm.nn import MaskedLM, pack

Pair = tuple[PreTrainedModel, MaskedLM]

CLS, PAD, EOS, MASK = 0, 1, 2, 32
LENGTHS = [1, 2, 3, 17, 40, 40, 63, 111, 200]  # residues
SHAPES = {
    "ESM-2, head dim 8": ("ESM-2", {"d_model": 32, "n_layers": 3, "n_heads": 4}),
    "ESM-2, head dim 24": ("ESM-2", {"d_model": 96, "n_layers": 3, "n_heads": 4}),  # as in the 35M
    "ESM-2, head dim 64": ("ESM-2", {"d_model": 128, "n_layers": 3, "n_heads": 2}),  # as in the 650M and 3B
    "ESM-2, without token dropout": (
        "ESM-2",
        {"d_model": 64, "n_layers": 3, "n_heads": 4, "token_dropout": False},
    ),
    "ESM-2 8M": ("ESM-2", {"d_model": 320, "n_layers": 6, "n_heads": 20}),
    "ESM-1b": ("ESM-1", {"d_model": 128, "n_layers": 4, "n_heads": 4, "embedding_norm": True}),
    "ESM-1v": ("ESM-1", {"d_model": 128, "n_layers": 4, "n_heads": 4, "embedding_norm": False}),
    "ESM C": ("ESM C", {"d_model": 192, "n_layers": 5, "n_heads": 3}),
}

# Relative to the largest entry of a hidden state, or of the logits.
FLOAT32 = 2e-5  # the order of additions alone differs
# A bfloat16 has 8 bits: each rounding costs up to 4e-3 of an entry, and the stream is rounded twice a layer.
# Such errors add up like steps in random directions, to 1.5e-2 in the logits after the six layers here.
BFLOAT16 = 3e-2


def make_sequences(*, masked: bool) -> list[Tensor]:
    """Random residues between <cls> and <eos>; if ``masked``, about 15 % of them are <mask>."""
    sequences = []
    for length in LENGTHS:
        residues = torch.randint(4, 24, (length,))
        if masked:
            residues[torch.rand(length) < 0.15] = MASK
        sequences.append(torch.cat([torch.tensor([CLS]), residues, torch.tensor([EOS])]))
    return sequences


def states_of_theirs(model: PreTrainedModel, sequences: list[Tensor]) -> list[Tensor]:
    """The hidden state after every layer, then the logits, from one padded batch, without its padding."""
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PAD)
    real = tokens != PAD
    output = model(tokens, attention_mask=real.long(), output_hidden_states=True)
    return [state[real] for state in (*output.hidden_states, output.logits)]


def states_of_ours(model: MaskedLM, sequences: list[Tensor]) -> list[Tensor]:
    """The same of one packed batch, caught in one run: those that ``layer`` gives, as ``tests/nn`` shows."""
    encoder = model.encoder
    states: list[Tensor] = []
    parts = (encoder.embedding, *encoder.blocks)
    hooks = [part.register_forward_hook(lambda *call: states.append(call[-1])) for part in parts]
    logits = model(pack(sequences))
    for hook in hooks:
        hook.remove()
    return [*states[:-1], encoder.norm(states[-1]), logits]


def worst_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest difference of any state, relative to that state's largest entry."""
    pairs = list(zip(found, expected, strict=True))
    assert all(one.shape == other.shape for one, other in pairs)
    differences = [float((one.float() - other).abs().max() / other.abs().max()) for one, other in pairs]
    print("largest relative difference of each state:", " ".join(f"{x:.1e}" for x in differences))
    return max(differences)


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def pair(request: pytest.FixtureRequest, make_pair: Callable[..., Pair]) -> Pair:
    family, shape = request.param
    return make_pair(family, **shape)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_every_layer_is_that_of_transformers_padded_batch(pair: Pair, masked: bool) -> None:
    theirs, ours = pair
    sequences = make_sequences(masked=masked)
    assert any(MASK in tokens for tokens in sequences) == masked
    found, expected = states_of_ours(ours, sequences), states_of_theirs(theirs, sequences)
    assert len(found) == ours.config.n_layers + 2
    assert worst_difference(found, expected) < FLOAT32


def test_every_layer_is_that_of_transformers_one_at_a_time(pair: Pair) -> None:
    theirs, ours = pair
    sequences = make_sequences(masked=True)
    alone = [states_of_theirs(theirs, [tokens]) for tokens in sequences]
    expected = [torch.cat(states) for states in zip(*alone, strict=True)]
    assert worst_difference(states_of_ours(ours, sequences), expected) < FLOAT32


def test_packing_never_changes_a_layer(pair: Pair) -> None:
    _, ours = pair
    sequences = make_sequences(masked=True)
    alone = [states_of_ours(ours, [tokens]) for tokens in sequences]
    expected = [torch.cat(states) for states in zip(*alone, strict=True)]
    assert worst_difference(states_of_ours(ours, sequences), expected) < FLOAT32


def test_bfloat16_stays_near_float32(pair: Pair) -> None:
    _, ours = pair
    sequences = make_sequences(masked=True)
    half = deepcopy(ours).to(torch.bfloat16)
    assert worst_difference(states_of_ours(half, sequences), states_of_ours(ours, sequences)) < BFLOAT16


def test_packing_changes_bfloat16_by_roundings_alone(pair: Pair) -> None:
    half = deepcopy(pair[1]).to(torch.bfloat16)
    sequences = make_sequences(masked=True)
    alone = [states_of_ours(half, [tokens]) for tokens in sequences]
    expected = [torch.cat(states).float() for states in zip(*alone, strict=True)]
    assert worst_difference(states_of_ours(half, sequences), expected) < BFLOAT16
