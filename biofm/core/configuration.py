"""Configurations: dataclasses whose defaults can be overridden.

A TOML file overrides the defaults, options override the file, and ``--set name=value`` overrides the options.
A configuration can be written back as TOML, so that a run can be repeated from that file.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, BinaryIO, ClassVar, Literal, Protocol, TypeVar, get_args, get_origin

from biofm_datasets.documents import load_toml

from biofm.core.bounds import BOUNDS, check_bound
from biofm.core.errors import InputError, OptionError


class Configuration(Protocol):
    """Describes a dataclass whose fields are numbers, words, truth values, or tuples of words.

    Attributes:
        OPTIONS: The command-line option of each field that has one. The other fields are given by ``--set``.
    """

    OPTIONS: ClassVar[Mapping[str, str]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


C = TypeVar("C", bound=Configuration)


def configure(
    kind: type[C],
    toml: BinaryIO | None,
    options: Mapping[str, Any],
    sets: Sequence[str] = (),
    *,
    start: C | None = None,
) -> C:
    """Return an instance of ``kind`` with the values from all sources; later sources override earlier ones.

    Args:
        kind: The class of the configuration.
        toml: A TOML file of settings. It overrides the defaults.
        options: Command-line options by field name. They override the file; those that are None are ignored.
        sets: Settings of the form ``name=value``. They override the options.
        start: A configuration whose values replace the defaults of ``kind``.

    Raises:
        InputError: The file is not TOML.
        OptionError: ``kind`` has no field of a given name, a value has the wrong type or is out of range, or
            a field without a default has no value.
    """
    known = {field.name: field for field in fields(kind)}
    values = {} if start is None else {name: getattr(start, name) for name in known}
    values |= _from_toml(toml, known) if toml is not None else {}
    values |= {name: value for name, value in options.items() if value is not None}
    for text in sets:
        name, value = _from_text(text, known)
        values[name] = value
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            remedy = f"Give it on the command line, or set {name} in a --config file"
            raise OptionError("this setting is required", where=option_of(kind, name), remedy=remedy)
    return kind(**values)


def to_toml(configuration: Configuration) -> str:
    """Return the configuration as TOML for ``configure``, with a line for each field that is not None."""
    values = ((field.name, getattr(configuration, field.name)) for field in fields(configuration))
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in values if value is not None)


def option_of(kind: type[Configuration], name: str) -> str:
    """Return what a user types to set a field: its option, or ``--set`` and its name."""
    return kind.OPTIONS.get(name, f"--set {name}")


def check_range(
    configuration: Configuration, limits: Mapping[str, tuple[float, float | None]], *, is_open: bool = False
) -> None:
    """Raise OptionError if a field is outside its limits.

    Args:
        configuration: The configuration to check.
        limits: The least and the most of each field, by name. A most of None sets no upper limit.
        is_open: Whether the limits themselves are excluded.
    """
    for name, (least, most) in limits.items():
        value = getattr(configuration, name)
        where = option_of(type(configuration), name)
        if is_open:
            assert most is not None, "an open range has two ends"
            if not least < value < most:
                remedy = f"Give a number above {least:g} and below {most:g}"
                raise OptionError(
                    f"{value} is not between {least:g} and {most:g}", where=where, remedy=remedy
                )
        elif not value >= least:
            raise OptionError(f"{value} is too small", where=where, remedy=f"Give at least {least:g}")
        elif most is not None and value > most:
            raise OptionError(f"{value} is too large", where=where, remedy=f"Give at most {most:g}")


def check_bounds(configuration: Configuration) -> None:
    """Raise OptionError if a field is outside its bound (``biofm.core.bounds``)."""
    for name in type(configuration).__dataclass_fields__:
        if name in BOUNDS:
            where = option_of(type(configuration), name)
            check_bound(name, getattr(configuration, name), where)


def check_choices(configuration: Configuration) -> None:
    """Raise OptionError if a field holds a word that its ``Literal`` type does not allow."""
    for field in fields(type(configuration)):
        choices = get_args(field.type) if get_origin(field.type) is Literal else ()
        value = getattr(configuration, field.name)
        if choices and value not in choices:
            where = option_of(type(configuration), field.name)
            raise OptionError(f"no such choice: {value}", where=where, remedy=f"Give {' or '.join(choices)}")


def _from_toml(file: BinaryIO, known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    name_of_file = str(getattr(file, "name", "--config"))
    try:
        content = load_toml(file)
    except ValueError as error:  # The file is not TOML, not UTF-8, or too large.
        remedy = 'Write lines such as learning_rate = 0.001 and schedule = "cosine"'
        raise InputError(f"this file is not TOML ({error})", where=name_of_file, remedy=remedy) from error
    return {
        name: _checked(value, _find(name, known, name_of_file), f"{name_of_file}, {name}")
        for name, value in content.items()
    }


def _from_text(text: str, known: Mapping[str, Field[Any]]) -> tuple[str, Any]:
    name, sign, value = (part.strip() for part in text.partition("="))
    if not sign:
        raise OptionError(f"{text!r} has no =", where="--set", remedy="Write it as name=value")
    field = _find(name, known, "--set")
    return name, _checked(_read(value, field), field, f"--set {name}")


def _find(name: str, known: Mapping[str, Field[Any]], where: str) -> Field[Any]:
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"Do you mean {near[0]}?" if near else f"The settings are {', '.join(known)}"
    raise OptionError(f"no such setting: {name}", where=where, remedy=remedy)


def _read(text: str, field: Field[Any]) -> Any:
    """Return the text as a value of the field's type, or the text itself if it is not one."""
    for kind in _kinds(field.type):
        if kind is str:
            return text
        if kind is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if kind is bool and text in ("true", "false"):
            return text == "true"
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _checked(value: Any, field: Field[Any], where: str) -> Any:
    kinds = _kinds(field.type)
    if isinstance(value, list) and tuple in kinds and all(isinstance(part, str) for part in value):
        return tuple(value)
    if float in kinds and type(value) is int:
        value = float(value) if abs(value) <= sys.float_info.max else math.inf
    if type(value) in kinds:
        return value
    wanted = " or ".join(KINDS[kind] for kind in kinds)
    raise OptionError(f"{value!r} is not {wanted}", where=where, remedy=f"Give {wanted}")


KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    tuple: "a list of words",
}


def _kinds(annotation: Any) -> tuple[type, ...]:
    """Return the plain types that a field's annotation allows."""
    if get_origin(annotation) is Literal:
        return (str,)
    if isinstance(annotation, UnionType):
        return tuple(kind for part in get_args(annotation) if part is not NoneType for kind in _kinds(part))
    kind = get_origin(annotation) or annotation
    assert kind in KINDS, f"a field of the type {annotation}"
    return (kind,)


def _toml_value(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    # A JSON string is a TOML string, except that TOML requires DEL to be escaped and JSON does not.
    return repr(value) if isinstance(value, float) else json.dumps(value).replace("\x7f", "\\u007f")
