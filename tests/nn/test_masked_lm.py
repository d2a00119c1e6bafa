"""The model that predicts masked tokens: its head, its first weights, and that it can learn."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from biofm.nn import EncoderConfig, MaskedLM, initialise, pack

MASK = 10
BARE = {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "qk_norm": True}
ESM_C = {**BARE, "block_norm_bias": True, "tied_head": False, "residual_scale": (2 / 36) ** 0.5}

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


def initialised(config: EncoderConfig, seed: int) -> dict[str, Tensor]:
    """The weights after whatever stood there before was overwritten."""
    model = MaskedLM(config)
    for weight in model.parameters():
        weight.data.normal_()
    initialise(model, seed)
    return model.state_dict()


def test_the_head_scores_with_the_token_vectors(make_config: MakeConfig, make_model: MakeModel) -> None:
    model = make_model(make_config())
    assert model.head is not None
    hidden = torch.randn(5, 24)
    features = model.head.norm(F.gelu(model.head.dense(hidden)))
    expected = features @ model.encoder.embedding.tokens.weight.T + model.head.bias
    torch.testing.assert_close(model.logits(hidden), expected)


def test_an_untied_head_scores_with_a_matrix_of_its_own(
    make_config: MakeConfig, make_model: MakeModel
) -> None:
    model = make_model(make_config(tied_head=False))
    hidden = torch.randn(5, 24)
    weights = {name.removeprefix("head."): weight for name, weight in model.state_dict().items()}
    normed = F.layer_norm(
        F.gelu(hidden @ weights["dense.weight"].T + weights["dense.bias"]),
        (24,),
        weights["norm.weight"],
        weights["norm.bias"],
    )
    torch.testing.assert_close(model.logits(hidden), normed @ weights["weight"].T + weights["bias"])


def test_a_model_without_a_head_has_no_logits(make_config: MakeConfig) -> None:
    model = MaskedLM(make_config(), with_head=False)
    assert [name for name in model.state_dict() if name.startswith("head")] == []
    with pytest.raises(AssertionError, match="no language-model head"):
        model(pack([torch.tensor([1])]))


def test_first_weights_depend_on_the_seed_alone(family: EncoderConfig) -> None:
    first, again, other = (initialised(family, seed) for seed in (1, 1, 2))
    assert [name for name in first if not torch.equal(first[name], again[name])] == []
    assert not torch.equal(
        first["encoder.blocks.0.attention.qkv.weight"], other["encoder.blocks.0.attention.qkv.weight"]
    )


def test_first_weights_leave_the_random_numbers_of_others_alone(make_config: MakeConfig) -> None:
    model = MaskedLM(make_config())
    before = torch.random.get_rng_state()
    initialise(model, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_writes_into_the_stream_starts_smaller_by_the_depth(make_config: MakeConfig) -> None:
    weights = initialised(make_config(d_model=240, n_layers=8, d_feedforward=240), seed=1)
    for part, deviation in (("qkv", 0.02), ("out", 0.02 / 4)):
        found = weights[f"encoder.blocks.3.attention.{part}.weight"].std()
        torch.testing.assert_close(found, torch.tensor(deviation), rtol=0.05, atol=0)
    down = weights["encoder.blocks.3.feedforward.down.weight"].std()
    torch.testing.assert_close(down, torch.tensor(0.02 / 4), rtol=0.05, atol=0)


def test_the_matrix_of_an_untied_head_starts_like_other_projections(make_config: MakeConfig) -> None:
    weights = initialised(make_config(d_model=240, tied_head=False), seed=1)
    torch.testing.assert_close(weights["head.weight"].std(), torch.tensor(0.02), rtol=0.05, atol=0)
    assert not weights["head.bias"].any()


def test_learned_positions_start_like_other_vectors(make_config: MakeConfig) -> None:
    weights = initialised(make_config(d_model=240, positions="learned", n_positions=66), seed=1)
    found = weights["encoder.embedding.positions.weight"].std()
    torch.testing.assert_close(found, torch.tensor(0.02), rtol=0.05, atol=0)


def test_token_vectors_start_with_a_part_in_common(make_config: MakeConfig) -> None:
    vectors = initialised(make_config(d_model=240), seed=1)["encoder.embedding.tokens.weight"]
    similarity = F.cosine_similarity(vectors[0], vectors[1:])
    assert (similarity > 0.3).all()


@pytest.mark.parametrize("parts", [BARE, ESM_C], ids=["biofm", "ESM C"])
def test_a_model_learns_one_batch_by_heart(parts: dict[str, Any], make_config: MakeConfig) -> None:
    model = MaskedLM(make_config(**parts, n_layers=2))
    initialise(model, seed=1)
    targets = [torch.randint(0, MASK, (length,)) for length in (5, 16, 16, 30)]
    masked = [tokens.clone() for tokens in targets]
    for tokens in masked:
        tokens[1::4] = MASK
    batch = pack(masked)
    chosen = batch.tokens == MASK
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = F.cross_entropy(model(batch)[chosen], torch.cat(targets)[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.02
