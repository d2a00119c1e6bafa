"""Fitting: values that are given for options are converted to the declared types, or refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from biofm.core.errors import OptionError

UNIONS = (Union, UnionType)
CALLED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    Path: "a path",
}


def fit(value: Any, kind: Any, where: str) -> Any:
    """Return a value converted to the type of its option.

    A number of NumPy becomes one of Python. An iterator, or one text where several are expected, becomes a
    tuple. Any text fits an option with a few choices; the verb checks the word.

    Raises:
        OptionError: The value has another type; the message names the option by ``where``.
    """
    members = members_of(kind)
    for member in members:
        found = _as(value, member)
        if found is not MISSING:
            return found
    names = dict.fromkeys(_called(member) for member in members if member is not NoneType)
    wanted = " or ".join(name for name in names if name != CALLED[str] or CALLED[Path] not in names)
    shown = repr(value) if len(repr(value)) <= 40 else f"a {type(value).__name__}"
    raise OptionError(f"{shown} is not {wanted}", where=where, remedy=f"Give {wanted}")


def _as(value: Any, kind: Any) -> Any:
    """Return the value converted to one type, or MISSING where it does not fit."""
    if isinstance(value, bool):
        return value if kind is bool else MISSING
    if kind is int:
        return int(value) if isinstance(value, Integral) else MISSING
    if kind is float:
        is_pythons = isinstance(value, int | float)
        return value if is_pythons else float(value) if isinstance(value, Real) else MISSING
    if kind is Path:
        return value if isinstance(value, str | PathLike) else MISSING
    if get_origin(kind) is Sequence:
        return _as_several(value, get_args(kind)[0])
    is_text = get_origin(kind) is Literal
    return value if isinstance(value, str if is_text else getattr(kind, "__supertype__", kind)) else MISSING


def _as_several(values: Any, kind: Any) -> Any:
    """Return the values as a sequence of this type, or MISSING if one of them does not fit."""
    if isinstance(values, str):
        return _as_several((values,), kind)
    if not isinstance(values, Iterable) or isinstance(values, Mapping | bytes):
        return MISSING
    several = values if isinstance(values, list | tuple) else tuple(values)
    fits = all(any(_as(one, member) is not MISSING for member in members_of(kind)) for one in several)
    return several if fits else MISSING


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in UNIONS else (kind,)


def _called(kind: Any) -> str:
    """Return the name of a type for messages."""
    if get_origin(kind) is Sequence:
        return f"a list of {_called(members_of(get_args(kind)[0])[0]).removeprefix('a ')}s"
    if get_origin(kind) is Literal:
        return "a word"
    return CALLED.get(kind, f"a {getattr(kind, '__name__', kind)}")
