"""Commands: each is made from the declaration of its verb, which says everything about its options."""

import inspect
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from functools import partial
from pathlib import Path
from types import GenericAlias, NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from biofm.api.declaration import GROUPS, Declared, Verb, name_of, options_of
from biofm.api.fitting import members_of
from biofm.policy import ConnectsTo

PLAIN = (str, int, float, bool)
METAVARS = {str: "TEXT", int: "N", float: "X", bool: "", Path: "PATH"}
"""What stands for a value in the help, by its type; a flag has none."""
FEW = 12
"""With more options than this, a command's help lists them under headings."""
CHOICE = "WORD"
"""What stands in the help for a value that is one of a few words. The text beside it names the words; as a
list here they would leave that text too little room.
"""
RUN = GROUPS[-1]
LEAST_FOR_BOXES = 60
"""On a terminal with fewer columns the boxes of a help page would cut words, so that it has none there."""

NUMBERS = {int: "a whole number, such as 8", float: "a number, such as 0.5 or 1e-3"}
"""What an option accepts, by the type of its number."""

V = TypeVar("V", bound=Verb[Any])
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.", metavar="")]


class Group(TyperGroup):
    """Is a group of commands whose help page shows no type beside ``--help``."""

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``."""
        found = super().get_help_option(ctx)
        if found is not None:
            found.metavar = ""
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        _fit(self, formatter)
        super().format_help(ctx, formatter)
        _unescape(formatter)


class Command(TyperCommand):
    """Is a command whose help page shows types only where they help."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        for one in self.params:
            if isinstance(one, TyperArgument):  # typer shows its type and takes no other text for it
                one.display_type_rich = lambda ctx: ""  # type: ignore[method-assign]

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option ``--help``, under the heading of the options beside it."""
        found = super().get_help_option(ctx)
        if found is not None:
            found.metavar = ""
            if any(getattr(one, "rich_help_panel", None) for one in self.params):
                found.rich_help_panel = RUN
        return found

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        _fit(self, formatter)
        super().format_help(ctx, formatter)
        _unescape(formatter)


def _fit(command: TyperCommand | TyperGroup, formatter: Any) -> None:
    """Have a help page drawn in boxes by rich if the terminal is wide enough, else as plain lines."""
    n_columns = shutil.get_terminal_size().columns
    command.rich_markup_mode = "rich" if n_columns >= LEAST_FOR_BOXES else None
    formatter.width = n_columns - 1  # of plain lines, which click makes no shorter than 50 characters


def _unescape(formatter: Any) -> None:
    """Remove from plain lines what ``_as_it_stands`` wrote for rich; of boxes there is nothing in them."""
    formatter.buffer = [text.replace(r"\[", "[") for text in formatter.buffer]


def command(
    verb: type[V],
    show: Callable[[V, Any, bool], None],
    show_estimate: Callable[[V, Any, bool], None] | None = None,
    *,
    check: Callable[[V, bool], None] | None = None,
    run: Callable[[V], Any] = Verb.perform,
) -> Callable[..., None]:
    """Return the command of a verb, with its options and ``--json``.

    Args:
        verb: The declaration of the verb.
        show: Prints the result. It takes the verb as it was asked, the result, and whether to print JSON.
        show_estimate: Prints an estimate, and takes the same. With it the command has ``--estimate``.
        check: Raises an error for a request that only a command line can make wrongly, such as two outputs
            on one stream. It takes the verb as it was asked, and whether to print JSON.
        run: Performs the verb.
    """
    kinds = ((declared, text_type(declared)) for declared in options_of(verb))
    offered = [(declared, kind) for declared, kind in kinds if kind is not None]
    is_grouped = len(offered) > FEW
    if is_grouped:
        offered.sort(key=lambda one: _place_of(one[0]))

    def call(**given: Any) -> None:
        as_json, is_estimate = given.pop("json"), given.pop("estimate", False)
        asked = verb(**{declared.name: _given(declared, given[declared.name]) for declared, _ in offered})
        if check is not None and not is_estimate:
            check(asked, as_json)
        if is_estimate:
            assert show_estimate is not None, "else there is no such option"
            show_estimate(asked, asked.estimate(), as_json)  # type: ignore[attr-defined]
        else:
            show(asked, run(asked), as_json)

    extra = {"json": ("--json", "Print the result as JSON.")}
    if show_estimate:
        words = "Print the time, memory and disk space that the run will take, and write nothing."
        extra = {"estimate": ("--estimate", words), **extra}
    panel = RUN if is_grouped else None
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(_parameter(declared, kind, is_grouped) for declared, kind in offered),
            *(
                _keyword(
                    name,
                    Annotated[bool, typer.Option(flag, help=words, metavar="", rich_help_panel=panel)],
                    False,
                )
                for name, (flag, words) in extra.items()
            ),
        ]
    )
    call.__name__ = name_of(verb)
    first_paragraph = " ".join((inspect.getdoc(verb) or "").split("\n\n")[0].split())
    call.__doc__ = _as_it_stands(first_paragraph)
    return call


def _place_of(declared: Declared) -> int:
    """Return the place of an option's heading in the help: arguments first, then the order of ``GROUPS``."""
    return GROUPS.index(declared.option.group) + 1 if declared.option.group else 0


def _parameter(declared: Declared, kind: Any, is_grouped: bool) -> inspect.Parameter:
    """Return the parameter from which typer makes the argument or option of a command."""
    option, default = declared.option, declared.default
    text = _as_it_stands(option.help)
    if default is MISSING:
        default = None if option.left_out else inspect.Parameter.empty
    if declared.is_positional:
        argument: Any = Annotated[kind, typer.Argument(help=text)]
        return _keyword(declared.name, argument, default)
    flags = [declared.flag, *([option.short] if option.short else [])]
    panel = option.group or None if is_grouped else None
    metavar = option.metavar or _metavar(kind)
    hint: Any = Annotated[
        kind,
        typer.Option(*flags, help=text, metavar=metavar, rich_help_panel=panel, parser=_number_parser(kind)),
    ]
    if declared.name == "quiet":
        default = False  # at a terminal a person wants to see the progress
    elif isinstance(default, tuple):
        default = list(default) or None
    return _keyword(declared.name, hint, default)


def _number_parser(kind: Any) -> Callable[[Any], Any] | None:
    """Return what reads the numbers of an option, because typer's messages about wrong ones are programmers'
    words, and differ from version to version. Return None for an option that is no number.
    """
    for member in members_of(kind):
        number = get_args(member)[0] if isinstance(member, GenericAlias) else member
        if number in NUMBERS:
            return partial(_number, number)
    return None


def _number(kind: type[int | float], text: Any) -> int | float:
    """Return a number that was given on a command line, or raise ValueError for text that is none."""
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {NUMBERS[kind]}.") from None


def _metavar(kind: Any) -> str:
    """Return what stands for an option's value in the help."""
    for member in members_of(kind):
        one = get_args(member)[0] if isinstance(member, GenericAlias) else member
        if get_origin(one) is Literal:
            return CHOICE
        if one in METAVARS:
            return METAVARS[one]
    raise AssertionError(f"no text gives a value of {kind}")


def _keyword(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _given(declared: Declared, value: Any) -> Any:
    """Return an option as Python would give it; its default or None where the command line left it out."""
    if value is None or value == []:
        return None if declared.default is MISSING else declared.default
    return tuple(value) if isinstance(value, list) else value


def _as_it_stands(text: str) -> str:
    """Escape a text for rich, which would read ``[words]`` in it as markup."""
    return re.sub(r"(\[[a-z#/@][^\[]*\])", r"\\\1", text)


def text_type(declared: Declared) -> Any:
    """Return the type by which a command line reads an option; None if no text can give its value."""
    members = members_of(declared.type)
    for member in members:
        if get_origin(member) is Sequence:
            one = _word(members_of(get_args(member)[0]), declared)
            if one is None:
                return None
            several = GenericAlias(list, one)
            return several if declared.default is MISSING or declared.default else several | None
    word = _word(members, declared)
    return word | None if word is not None and NoneType in members else word


def _word(members: Sequence[Any], declared: Declared) -> Any:
    """Return the one of these types as which a command line reads a text.

    It is a path, unless the text may also name something else, such as a model on the hub.
    """
    names_others = any(isinstance(effect, ConnectsTo) and effect.role == "hub" for effect in declared.effects)
    if Path in members and not names_others:
        return Path
    plain = (getattr(one, "__supertype__", one) for one in members)  # a Host or Code is a str
    return next((one for one in plain if one in PLAIN or get_origin(one) is Literal), None)
