"""How a command is made from the declaration of its verb, which says everything about its options."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING
from pathlib import Path
from types import GenericAlias, NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer

from biofm.api.declaration import Declared, Verb, name_of, options_of
from biofm.api.fitting import members_of
from biofm.policy import Contacts

PLAIN = (str, int, float, bool)

V = TypeVar("V", bound=Verb[Any])
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
EstimateFlag = Annotated[
    bool,
    typer.Option(
        "--estimate", help="Print what the run will take in time, memory and space, and write nothing."
    ),
]


def command(
    verb: type[V],
    show: Callable[[V, Any, bool], None],
    show_estimate: Callable[[V, Any, bool], None] | None = None,
    *,
    check: Callable[[V, bool], None] | None = None,
    run: Callable[[V], Any] = Verb.perform,
) -> Callable[..., None]:
    """Return the command of a verb: its options, ``--json``, and ``--estimate`` if there is a
    ``show_estimate``.

    ``show`` and ``show_estimate`` print a result. They are given the verb as it was asked, the result, and
    whether to print JSON. ``check`` raises for what only a command line can ask for. ``run`` performs the
    verb.
    """
    kinds = ((declared, _plain_type(declared)) for declared in options_of(verb))
    offered = [(declared, kind) for declared, kind in kinds if kind is not None]

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

    extra = {"estimate": EstimateFlag} if show_estimate else {}
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            *(_parameter(declared, kind) for declared, kind in offered),
            *(_keyword(name, hint, False) for name, hint in {**extra, "json": Json}.items()),
        ]
    )
    call.__name__ = name_of(verb)
    call.__doc__ = _as_it_stands((inspect.getdoc(verb) or "").split("\n\n")[0])
    return call


def _parameter(declared: Declared, kind: Any) -> inspect.Parameter:
    option, default = declared.option, declared.default
    text = _as_it_stands(option.help)
    if default is MISSING:
        default = None if option.left_out else inspect.Parameter.empty
    if declared.is_positional:
        argument: Any = Annotated[kind, typer.Argument(help=text)]
        return _keyword(declared.name, argument, default)
    flags = [declared.flag, *([option.short] if option.short else [])]
    hint: Any = Annotated[kind, typer.Option(*flags, help=text)]
    if declared.name == "quiet":
        default = False  # whoever sits at a terminal wants to see how far it is
    elif isinstance(default, tuple):
        default = list(default) or None
    return _keyword(declared.name, hint, default)


def _keyword(name: str, hint: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _given(declared: Declared, value: Any) -> Any:
    """Return an option as Python would give it. Where the command line left it out, its default, or None."""
    if value is None or value == []:
        return None if declared.default is MISSING else declared.default
    return tuple(value) if isinstance(value, list) else value


def _as_it_stands(text: str) -> str:
    """Escape a text for rich, which would read ``[words]`` in it as markup."""
    return re.sub(r"(\[[a-z#/@][^\[]*\])", r"\\\1", text)


def _plain_type(declared: Declared) -> Any:
    """Return the type by which a command line reads an option; None where no text can give its value."""
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
    """Return the one of these types that a text is read as: a path, unless the text may also name something
    else, such as a model on the hub.
    """
    names_others = any(isinstance(effect, Contacts) and effect.role == "hub" for effect in declared.effects)
    if Path in members and not names_others:
        return Path
    plain = (getattr(one, "__supertype__", one) for one in members)  # a Host or Code is a str
    return next((one for one in plain if one in PLAIN or get_origin(one) is Literal), None)
