"""Options that every command of a kind has."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import pytest

from biofm.api.fitting import members_of
from biofm.cli import app
from biofm.cli.data import app as data

COMMANDS = [*app.registered_commands, *data.registered_commands]
CALLED = {command.callback.__name__: command.callback for command in COMMANDS if command.callback}
READERS = {name: it for name, it in CALLED.items() if "column" in inspect.signature(it).parameters}

CHOICES = [
    (name, info.default, get_args(member))  # typer takes the first flag as the default
    for name, command in CALLED.items()
    for kind, info in (get_args(it.annotation) for it in inspect.signature(command).parameters.values())
    for member in members_of(kind)
    if get_origin(member) is Literal
]
"""Each option that takes one of a few words: its command, its flag and the words."""


@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_what_reads_sequences_says_what_becomes_of_gaps(command: Callable[..., Any]) -> None:
    assert "gaps" in inspect.signature(command).parameters


def test_the_commands_that_read_sequences_are_these() -> None:
    assert {*READERS} == {
        "contacts", "describe", "embed", "finetune", "perplexity", "predict", "prepare", "pretrain",
    }  # fmt: skip


@pytest.mark.parametrize(("command", "flag", "words"), CHOICES)
def test_another_word_than_the_choices_is_refused_with_their_names(
    command: str, flag: str, words: tuple[str, ...], biofm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    group = ["data"] if command in {one.callback.__name__ for one in data.registered_commands} else []

    outcome = biofm(*group, command, flag, "no-such-word")

    named = ", ".join(map(repr, words))
    assert (outcome.status, outcome.out) == (2, "")
    assert f" Invalid value for '{flag}': 'no-such-word' is not one of {named}. " in outcome.err


WRONG_VALUES = {
    "a word for a whole number": (("embed",), "--window", "wide", "a whole number, such as 8"),
    "a fraction for a whole number": (("finetune",), "--seed", "1.5", "a whole number, such as 8"),
    "nothing for a whole number": (("pretrain",), "--steps", "", "a whole number, such as 8"),
    "a word for a number": (("finetune",), "--learning-rate", "low", "a number, such as 0.5 or 1e-3"),
    "a list for a number": (("pretrain",), "--masked", "1,2", "a number, such as 0.5 or 1e-3"),
    "a word for one of several numbers": (
        ("data", "prepare"), "--weight", "half", "a number, such as 0.5 or 1e-3",
    ),
    "a word for a choice": (("embed",), "--pool", "median", "one of 'mean', 'cls', 'max', 'none'"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "flag", "value", "accepted"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_wrong_value_is_refused_by_one_sentence_with_the_option_the_value_and_what_is_accepted(
    command: tuple[str, ...],
    flag: str,
    value: str,
    accepted: str,
    biofm: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "500")

    outcome = biofm(*command, flag, value)

    assert (outcome.status, outcome.out) == (2, "")
    assert f" Invalid value for '{flag}': {value!r} is not {accepted}. " in outcome.err
