"""A configuration that makes no encoder says why."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import pytest

from biofm.nn import EncoderConfig

MakeConfig = Callable[..., EncoderConfig]


@pytest.fixture
def _users_types() -> Iterator[None]:
    """The types of fields are not checked, as for a user: a wrong one may come out of a file."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("_users_types")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 0}, "vocab_size is 0; it must be a whole number, at least 1"),
        ({"n_layers": 0}, "n_layers is 0; it must be a whole number, at least 1"),
        ({"d_feedforward": -4}, "d_feedforward is -4; it must be a whole number, at least 1"),
        ({"trained_length": 0}, "trained_length is 0; it must be a whole number, at least 1"),
        ({"d_model": 24.0}, "d_model is 24.0; it must be a whole number, at least 1"),
        ({"n_heads": "2"}, "n_heads is '2'; it must be a whole number, at least 1"),
        ({"n_heads": 5}, "d_model 24 does not divide by n_heads 5"),
        ({"n_heads": 8}, "rotary positions need an even head dim; d_model / n_heads is 3"),
        ({"norm_order": "middle"}, "norm_order is 'middle'; it must be pre or post"),
        ({"positions": "alibi"}, "positions is 'alibi'; it must be rotary or learned or none"),
        ({"feedforward": "tanh"}, "feedforward is 'tanh'; it must be gelu or relu or swiglu"),
        ({"residual_scale": 0.0}, "residual_scale is 0.0; it must be a number above 0, at most 1e+06"),
        (
            {"causal": True, "mask_token": 10},
            "token dropout (mask_token) looks at the whole sequence, which a causal encoder must not",
        ),
        (
            {"positions": "learned", "n_positions": 65, "position_offset": 2},
            "n_positions 65 is less than trained_length 64 + position_offset 2",
        ),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], message: str, make_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_config(**fields)


@pytest.mark.parametrize(
    ("fields", "longest"),
    [
        ({"positions": "learned", "n_positions": 66, "position_offset": 2}, 64),
        ({"positions": "learned", "n_positions": 70}, 70),
        ({"positions": "rotary"}, None),
        ({"positions": "none"}, None),
    ],
)
def test_only_learned_positions_end(
    fields: dict[str, Any], longest: int | None, make_config: MakeConfig
) -> None:
    assert make_config(**fields).max_length == longest


def test_an_odd_head_dim_is_fine_without_rotation(make_config: MakeConfig) -> None:
    assert make_config(n_heads=8, positions="none").d_head == 3
