"""Options that every command of a kind has."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from biofm.cli import app
from biofm.cli.data import app as data

COMMANDS = [*app.registered_commands, *data.registered_commands]
CALLED = {command.callback.__name__: command.callback for command in COMMANDS if command.callback}
READERS = {name: it for name, it in CALLED.items() if "column" in inspect.signature(it).parameters}


@pytest.mark.parametrize("command", READERS.values(), ids=READERS)
def test_what_reads_sequences_says_what_becomes_of_gaps(command: Callable[..., Any]) -> None:
    assert "gaps" in inspect.signature(command).parameters


def test_the_commands_that_read_sequences_are_these() -> None:
    assert {*READERS} == {
        "contacts", "describe", "embed", "finetune", "perplexity", "predict", "prepare", "pretrain",
    }  # fmt: skip
