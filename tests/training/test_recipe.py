"""A recipe that cannot be followed is refused by the option's name."""

from math import nan

import pytest

from biofm.core.errors import OptionError
from biofm.training import Recipe

TOO_SMALL = [
    ("n_steps", -1, "--steps"),
    ("tokens_per_batch", 1, "--tokens-per-batch"),
    ("max_length", 2, "--max-length"),
    ("n_warmup", -1, "--warmup"),
    ("n_held_out", -1, "--held-out"),
    ("seed", -1, "--seed"),
    ("checkpoint_every", 0, "--checkpoint-every"),
    ("log_every", 0, "--log-every"),
]
NO_SHARES = [
    (name, value, option)
    for name, option in (("learning_rate", "--learning-rate"), ("masked_share", "--masked"))
    for value in (0.0, 1.0, -0.1, nan)
]


@pytest.mark.parametrize(("name", "value", "option"), TOO_SMALL)
def test_a_number_that_is_too_small_is_refused_and_the_next_one_taken(
    name: str, value: int, option: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Recipe(**{"n_steps": 1} | {name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{option}: {value} is too small. Give at least {value + 1}"
    Recipe(**{"n_steps": 1} | {name: value + 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value", "option"), NO_SHARES)
def test_a_share_that_is_none_is_refused(name: str, value: float, option: str) -> None:
    with pytest.raises(OptionError) as caught:
        Recipe(n_steps=1, **{name: value})  # type: ignore[arg-type]
    assert str(caught.value) == f"{option}: {value} is not between 0 and 1. See the default in --help"
