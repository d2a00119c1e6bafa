"""A recipe that cannot be followed is refused with the option's name."""

from collections.abc import Callable
from math import nan
from typing import Any

import pytest

from biofm.core import OptionError
from biofm.core.bounds import BOUNDS
from biofm.training import PretrainRecipe
from biofm.training.processes import find_processes

LEAST = [
    ("n_steps", 0, "--steps"), ("tokens_per_batch", 2, "--tokens-per-batch"),
    ("batches_per_step", 1, "--batches-per-step"), ("max_length", 3, "--max-length"),
    ("weight_decay", 0, "--set weight_decay"), ("n_warmup", 0, "--warmup"),
    ("clip_norm", 0, "--set clip_norm"),
    ("n_held_out", 0, "--held-out"),
    ("n_validation", 0, "--set n_validation"), ("seed", 0, "--seed"),
    ("validate_every", 0, "--set validate_every"),
    ("patience", 0, "--set patience"), ("checkpoint_every", 1, "--checkpoint-every"),
    ("log_every", 1, "--log-every"), ("n_workers", 0, "--set n_workers"), ("devices", 1, "--devices"),
    ("n_nodes", 1, "--set n_nodes"), ("decay_share", 0, "--set decay_share"),
    ("encoder_rate", 0, "--set encoder_rate"), ("ema_decay", 0, "--set ema_decay"),
    ("mask_rate", 0, "--set mask_rate"), ("random_rate", 0, "--set random_rate"),
]  # fmt: skip
NO_SHARES = [
    (name, value, option)
    for name, option in (("learning_rate", "--learning-rate"), ("masked_share", "--masked"))
    for value in (0.0, 1.0, -0.1, nan)
]
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"patience": 2},
     "--set patience: a patience of 2 has no effect without validations. Give --set validate_every=N too"),
    ({"ema_decay": 0.9, "strategy": "fsdp"},
     "--set ema_decay: weights that are spread over processes by fsdp cannot be averaged. "
     "Give 0, or --set strategy=ddp"),
    ({"mask_rate": 0.8, "random_rate": 0.3},
     "--set mask_rate: mask_rate 0.8 and random_rate 0.3 are more than 1 together. Make one of them smaller"),
    ({"decay_share": 1.5}, "--set decay_share: 1.5 is too large. Give at most 1"),
    ({"ema_decay": 1.0}, "--set ema_decay: 1.0 is too large. Give at most 0.99999"),
    ({"optimizer": "sgd"}, "--set optimizer: no such choice: sgd. Give muon or adamw"),
    ({"schedule": "linear"}, "--set schedule: no such choice: linear. Give wsd or cosine"),
    ({"strategy": "horovod"}, "--set strategy: no such choice: horovod. Give auto or ddp or fsdp"),
    ({"objective": "span"}, "--objective: no such choice: span. Give masked or causal"),
]  # fmt: skip


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(OptionError) as caught:
        PretrainRecipe(**{"n_steps": 1} | values)
    return str(caught.value)


@pytest.mark.parametrize(("name", "least", "option"), LEAST)
def test_a_number_that_is_too_small_is_refused_and_the_least_one_taken(
    name: str, least: int, option: str, make_recipe: Callable[..., PretrainRecipe]
) -> None:
    assert refusal({name: least - 1}) == f"{option}: {least - 1} is too small. Give at least {least}"
    make_recipe(**{name: least})


@pytest.mark.parametrize(("name", "value", "option"), NO_SHARES)
def test_a_share_that_is_none_is_refused(name: str, value: float, option: str) -> None:
    assert refusal({name: value}) == (
        f"{option}: {value} is not between 0 and 1. Give a number above 0 and below 1"
    )


@pytest.mark.parametrize(("values", "message"), TOGETHER)
def test_values_that_do_not_fit_are_refused(values: dict[str, Any], message: str) -> None:
    assert refusal(values) == message


@pytest.mark.parametrize("name", sorted(set(BOUNDS) & set(PretrainRecipe.__dataclass_fields__)))
def test_a_number_that_no_machine_can_serve_is_refused_with_the_reason(name: str) -> None:
    bound = BOUNDS[name]
    assert refusal({name: bound.most + 1}).endswith(f": {bound.reason}")


def test_more_processes_than_the_processors_can_serve_are_refused(
    make_recipe: Callable[..., PretrainRecipe],
) -> None:
    """A thousand would fill the memory before one of them makes a batch."""
    for changes, option in (({"n_workers": 1000}, "--set n_workers"), ({"devices": 1000}, "--devices")):
        with pytest.raises(OptionError, match=rf"^{option}: 1,000 processes are too many for the "):
            find_processes(make_recipe(**changes), {})


@pytest.mark.parametrize("text", ["one", "-1", "", "9" * 30])
def test_a_launcher_that_left_no_number_is_named(
    text: str, make_recipe: Callable[..., PretrainRecipe]
) -> None:
    with pytest.raises(OptionError, match=r"^LOCAL_RANK: the environment variable LOCAL_RANK is "):
        find_processes(make_recipe(), {"LOCAL_RANK": text})
