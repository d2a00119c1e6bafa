"""From tokens to the stream: token dropout, learned positions, the norm."""

from collections.abc import Callable

import pytest
import torch

from biofm.nn import EncoderConfig, MaskedLM, pack

MASK = 10

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


def test_token_dropout_zeroes_the_masked_and_rescales_the_others(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    embedding = make_model(make_config(mask_token=MASK)).encoder.embedding
    half_masked, unmasked = torch.tensor([1, MASK, MASK, 4]), torch.tensor([5, 6, 7])
    first, second = embedding(pack([half_masked, unmasked])).split([4, 3])

    vectors = embedding.tokens.weight
    nothing = torch.zeros(24)
    expected = torch.stack([vectors[1], nothing, nothing, vectors[4]]) * (1 - 0.15 * 0.8) / (1 - 2 / 4)
    torch.testing.assert_close(first, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(second, vectors[5:8] * 0.88, rtol=1e-6, atol=0)


def test_without_token_dropout_the_mask_is_a_token_like_others(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    embedding = make_model(make_config()).encoder.embedding
    tokens = torch.tensor([1, MASK, 4])
    assert torch.equal(embedding(pack([tokens])), embedding.tokens.weight[tokens])


@pytest.mark.parametrize("offset", [0, 2])
def test_learned_positions_start_at_the_offset_in_every_sequence(
    offset: int, make_config: MakeConfig, make_model: MakeModel
) -> None:
    config = make_config(positions="learned", n_positions=66, position_offset=offset)
    embedding = make_model(config).encoder.embedding
    assert embedding.positions is not None
    embedded = embedding(pack([torch.tensor([1, 2]), torch.tensor([3])]))
    expected = embedding.tokens.weight[1:4] + embedding.positions.weight[[offset, offset + 1, offset]]
    torch.testing.assert_close(embedded, expected)


def test_a_sequence_beyond_the_learned_positions_is_a_fault_of_the_program(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    config = make_config(positions="learned", n_positions=66, position_offset=2)
    embedding = make_model(config).encoder.embedding
    embedding(pack([torch.ones(64, dtype=torch.long)]))
    with pytest.raises(AssertionError, match="longer than the learned positions"):
        embedding(pack([torch.ones(65, dtype=torch.long)]))


def test_the_norm_comes_last(make_config: MakeConfig, make_model: MakeModel) -> None:
    config = make_config(positions="learned", n_positions=64, embedding_norm=True)
    embedding = make_model(config).encoder.embedding
    assert embedding.positions is not None
    embedded = embedding(pack([torch.tensor([7])]))
    expected = embedding.norm(embedding.tokens.weight[7] + embedding.positions.weight[0])
    torch.testing.assert_close(embedded[0], expected)


def test_values_and_segments_add_their_vectors(make_config: MakeConfig, make_model: MakeModel) -> None:
    """The value encoder of scGPT, written out."""
    embedding = make_model(make_config(values="continuous", n_segments=2)).encoder.embedding
    assert embedding.values is not None
    assert embedding.segments is not None
    values, segments = torch.tensor([0.5, -2.0, 7.0]), torch.tensor([0, 1, 1])
    batch = pack([torch.tensor([1, 2]), torch.tensor([3])], values.split([2, 1]), segments.split([2, 1]))
    up, out, norm = embedding.values.up, embedding.values.out, embedding.values.norm
    hidden = (values[:, None] * up.weight[:, 0] + up.bias).clamp(min=0) @ out.weight.T + out.bias
    mean, variance = hidden.mean(1, keepdim=True), hidden.var(1, unbiased=False, keepdim=True)
    of_values = (hidden - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias
    expected = embedding.tokens.weight[1:4] + of_values + embedding.segments.weight[segments]
    torch.testing.assert_close(embedding(batch), expected)


def test_with_values_packed_is_single(make_config: MakeConfig, make_model: MakeModel) -> None:
    model = make_model(make_config(values="continuous"))
    sequences = [torch.tensor([1, 2, 3, 4]), torch.tensor([5]), torch.tensor([6, 7])]
    values = [torch.randn(len(tokens)) for tokens in sequences]
    together = model.encoder(pack(sequences, values)).split([4, 1, 2])
    for tokens, its_values, found in zip(sequences, values, together, strict=True):
        torch.testing.assert_close(found, model.encoder(pack([tokens], [its_values])))


def test_a_model_of_values_that_gets_none_is_a_fault_of_the_program(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    embedding = make_model(make_config(values="continuous")).encoder.embedding
    with pytest.raises(AssertionError, match="reads a value with each token"):
        embedding(pack([torch.tensor([1])]))
