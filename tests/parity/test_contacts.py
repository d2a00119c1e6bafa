"""Contacts against ``transformers``, and a packed batch against one protein at a time."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import EsmForMaskedLM

from biofm.nn import MaskedLM, pack
from biofm.nn import contacts as contacts_of_nn

Pair = tuple[EsmForMaskedLM, MaskedLM]

CLS, PAD, EOS = 0, 1, 2
LENGTHS = [1, 2, 3, 17, 63, 63, 111]  # residues
SHAPES = {
    "head dim 8": {"d_model": 32, "n_layers": 3, "n_heads": 4},
    "head dim 24": {"d_model": 96, "n_layers": 3, "n_heads": 4},  # as in the 35M
    "8M": {"d_model": 320, "n_layers": 6, "n_heads": 20},
}
FLOAT32 = 1e-5  # of a probability


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def pair(request: pytest.FixtureRequest, make_pair: Callable[..., Pair]) -> Pair:
    """A model whose contacts are neither all near 0 nor all near 1."""
    theirs, ours = make_pair("ESM-2", **request.param)
    theirs.set_attn_implementation("eager")  # the one that gives maps away
    assert ours.contacts is not None
    weight = 3 * torch.randn(theirs.esm.contact_head.regression.weight.shape)
    for regression in (theirs.esm.contact_head.regression, ours.contacts.regression):
        regression.weight.copy_(weight)
        regression.bias.fill_(-0.3)
    return theirs, ours


@pytest.fixture(scope="module")
def sequences() -> list[Tensor]:
    return [
        torch.cat([torch.tensor([CLS]), torch.randint(4, 24, (length,)), torch.tensor([EOS])])
        for length in LENGTHS
    ]


def contacts_of(model: MaskedLM, sequences: list[Tensor]) -> list[Tensor]:
    assert model.contacts is not None
    return model.contacts(model.encoder, pack(sequences))


def worst_difference(found: list[Tensor], expected: list[Tensor]) -> float:
    assert [one.shape for one in found] == [other.shape for other in expected]
    worst = [float((one - other).abs().max()) for one, other in zip(found, expected, strict=True)]
    print("largest difference of each length:", " ".join(f"{x:.1e}" for x in worst))
    return max(worst)


def test_contacts_are_those_of_transformers_one_at_a_time(pair: Pair, sequences: list[Tensor]) -> None:
    theirs, ours = pair
    expected = [theirs.predict_contacts(one[None], torch.ones(1, len(one)))[0] for one in sequences]
    assert max(one.std() for one in expected[2:]) > 0.05
    assert worst_difference(contacts_of(ours, sequences), expected) < FLOAT32


def test_contacts_are_those_of_transformers_padded_batch(pair: Pair, sequences: list[Tensor]) -> None:
    theirs, ours = pair
    tokens = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PAD)
    padded = theirs.predict_contacts(tokens, (tokens != PAD).long())
    expected = [one[:n, :n] for one, n in zip(padded, LENGTHS, strict=True)]
    assert worst_difference(contacts_of(ours, sequences), expected) < FLOAT32


def test_packing_never_changes_contacts(pair: Pair, sequences: list[Tensor]) -> None:
    _, ours = pair
    alone = [contacts_of(ours, [one])[0] for one in sequences]
    assert worst_difference(contacts_of(ours, sequences), alone) < FLOAT32


def test_contacts_do_not_hang_on_how_many_heads_are_held_at_once(
    pair: Pair, sequences: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ours = pair
    at_once = contacts_of(ours, sequences)
    monkeypatch.setattr(contacts_of_nn, "MAP_BYTES", 3 * 4 * 113**2)
    assert worst_difference(contacts_of(ours, sequences), at_once) < FLOAT32
