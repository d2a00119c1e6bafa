"""The help of every command: each option is explained in sentences, with its unit and its default."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
from typer.testing import CliRunner

from biofm.api.declaration import GROUPS
from biofm.api.fitting import members_of
from biofm.cli import app
from biofm.cli.audit import app as audit
from biofm.cli.commands import LEAST_FOR_BOXES
from biofm.cli.data import app as data
from biofm.cli.policy import app as policy
from tests.architecture.sentences import first_sentence, has_verb

COMMANDS = {
    **{
        one.callback.__name__.replace("_", "-"): one.callback
        for one in app.registered_commands
        if one.callback
    },
    **{
        f"{name} {one.callback.__name__.replace('_', '-')}": one.callback
        for name, group in (("data", data), ("audit", audit), ("policy", policy))
        for one in group.registered_commands
        if one.callback
    },
}
UNITS = {
    "batches", "entries", "folds", "gigabytes", "groups", "layer", "members", "neighbours", "probability",
    "processes", "residue", "residues", "rows", "seconds", "sequences", "share", "steps", "times", "tokens",
    "units",
}  # fmt: skip
WITHOUT_UNIT = {"seed", "learning_rate", "lora_rank", "threshold", "weights"}
"""Numbers without a unit, or in the unit of a measurement that the user gives."""
WIDTH = 80
LEAST_FOR_HELP = 40
"""Columns that a help page leaves for its texts, at least."""


class Shown(NamedTuple):
    """Holds an option or an argument of a command as typer gets it."""

    name: str
    kinds: tuple[Any, ...]
    help: str
    default: Any
    has_shown_default: bool
    choices: tuple[str, ...] = ()


def options_of(command: Callable[..., Any]) -> Iterator[Shown]:
    """Yield the options and arguments of a command."""
    for parameter in inspect.signature(command).parameters.values():
        kind, info = get_args(parameter.annotation)
        members = members_of(kind)
        kinds = tuple(get_args(one)[0] if get_origin(one) is list else one for one in members)
        choices = tuple(word for one in kinds if get_origin(one) is Literal for word in get_args(one))
        has_shown_default = isinstance(info.show_default, str)
        yield Shown(parameter.name, kinds, info.help, parameter.default, has_shown_default, choices)


each_option = pytest.mark.parametrize(
    "option",
    [
        pytest.param(option, id=f"{name}-{option.name}")
        for name, command in COMMANDS.items()
        for option in options_of(command)
    ],
)
each_command = pytest.mark.parametrize("name", COMMANDS)
each_page = pytest.mark.parametrize("name", [*COMMANDS, "", "data", "audit", "policy"])


def help_of(name: str, width: int = WIDTH) -> list[str]:
    """Return the lines of a help page on a terminal of so many columns."""
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": str(width), "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def faults_of(option: Shown) -> Iterator[str]:
    """Yield what a user would miss in the help of an option."""
    words = set(re.findall(r"[a-z0-9-]+", option.help.lower()))
    if not option.help.endswith("."):
        yield "it does not end in a full stop"
    if not has_verb(first_sentence(option.help)):
        yield "its first sentence has no verb"
    if re.match(r"\w+[^\Ws]s\b", option.help):
        yield "its first word is no imperative"
    is_number = int in option.kinds or float in option.kinds
    if is_number and option.name not in WITHOUT_UNIT and UNITS.isdisjoint(words):
        yield "it names no unit"
    has_no_default = option.default is None and not option.has_shown_default
    yield from (f"it does not name the choice {word}" for word in option.choices if word not in words)
    if has_no_default and "By default" not in option.help:
        yield "it does not say what happens by default"


@each_option
def test_the_help_of_each_option_is_a_sentence_with_its_unit_and_its_default(option: Shown) -> None:
    assert [*faults_of(option)] == [], option.help


@pytest.mark.parametrize(
    ("option", "fault"),
    [
        (Shown("rank", (str,), "Of the adapters.", "8", False), "its first sentence has no verb"),
        (Shown("seed", (int,), "Set the seed", 0, False), "it does not end in a full stop"),
        (Shown("seed", (int,), "Sets the seed.", 0, False), "its first word is no imperative"),
        (Shown("window", (int,), "Cut it into pieces.", 0, False), "it names no unit"),
        (Shown("column", (str,), "Read it.", None, False), "it does not say what happens by default"),
        (
            Shown("pool", (str,), "Take the mean.", "mean", False, ("mean", "max")),
            "it does not name the choice max",
        ),
    ],
)
def test_a_help_that_leaves_something_open_is_found(option: Shown, fault: str) -> None:
    assert [*faults_of(option)] == [fault]


@each_page
def test_a_help_page_has_no_types_of_python_and_leaves_room_for_its_texts(name: str) -> None:
    lines = help_of(name)
    assert not re.search(r"<(int|float|str|bool|path|list)\b", "\n".join(lines))
    texts = [found for line in lines if (found := re.match(r"│ .*? {2,}(?=[A-Z][a-z]+ )", line))]
    assert texts, "else nothing is checked"
    for found in texts:
        assert WIDTH - found.end() >= LEAST_FOR_HELP, found.string


@each_page
@pytest.mark.parametrize("width", [40, LEAST_FOR_BOXES - 1, LEAST_FOR_BOXES, 200])
def test_a_help_page_cuts_no_word_on_any_terminal(name: str, width: int) -> None:
    lines = help_of(name, width)
    assert not [line for line in lines if "…" in line or len(line) > width]


@each_command
def test_the_options_of_a_long_help_stand_under_the_same_headings_in_the_same_order(name: str) -> None:
    headings = [found[1] for line in help_of(name) if (found := re.match(r"╭─ ([A-Z]\w+) ─", line))]
    known = [one for one in headings if one != "Arguments"]
    assert known, "else nothing is checked"
    assert known == ["Options"] or known == [one for one in GROUPS if one in known], headings
    assert headings[: len(headings) - len(known)] in (["Arguments"], [])


def test_the_estimate_and_the_json_of_a_command_are_explained_too() -> None:
    shown = " ".join(" ".join(help_of("embed")).replace("│", " ").split())
    assert "Print the result as JSON." in shown
    assert "Print the time, memory and disk space that the run will take, and write nothing." in shown
