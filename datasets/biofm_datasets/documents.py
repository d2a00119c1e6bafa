"""Reads documents of settings, JSON and TOML: whole, of a bounded size, checked against types.

Every fault is a ``ValueError``. The parsers of the standard library raise ``RecursionError`` for values
nested some thousands deep, and read a stream to its end: ``/dev/zero`` has none.
"""

import json
import re
import sys
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from reprlib import repr as shortened
from types import UnionType
from typing import Any, BinaryIO, Literal, NoReturn, get_args, get_origin, get_type_hints

LARGEST_JSON_BYTES = 16 << 20
"""The index of a checkpoint of a thousand shards takes about a tenth of this."""
LARGEST_TOML_BYTES = 256 << 10
"""A recipe takes about a hundredth of this."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # also matches whole pairs
_TOO_DEEP = "its values are nested too deep"


def load_json(stream: BinaryIO) -> Any:
    """Return the content of a JSON document.

    Raises:
        ValueError: It is not JSON, or too large; the message says why.
    """
    return parse_json(_read(stream, LARGEST_JSON_BYTES))


def parse_json(text: str | bytes, *, strict: bool = False) -> Any:
    """Return the content of a JSON text in memory.

    Args:
        text: The text.
        strict: Whether repeated keys and numbers that are not finite are refused.

    Raises:
        ValueError: It is not JSON, or holds half of a surrogate pair, which files and terminals do not take.
    """
    hooks: dict[str, Any] = (
        {"object_pairs_hook": _without_repeats, "parse_constant": _refuse_constant} if strict else {}
    )
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(text, **hooks)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError for a key that stands in it twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands there twice")
        found[key] = value
    return found


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def load_toml(stream: BinaryIO) -> dict[str, Any]:
    """Return the content of a TOML document.

    Raises:
        ValueError: It is not TOML, or too large; the message says why.
    """
    text = _read(stream, LARGEST_TOML_BYTES).decode()
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def _read(stream: BinaryIO, most: int) -> bytes:
    content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 10:,} KiB")
    return content


def from_json(kind: Any, value: Any, name: str = "it") -> Any:
    """Convert a value of JSON to a type, checking the types of all its parts.

    Args:
        kind: The type: a plain type, a union, a Literal, ``tuple[X, ...]`` for a list, ``dict[str, X]`` or a
            dataclass for an object.
        value: The value as a JSON parser returns it.
        name: What messages call the value.

    Raises:
        ValueError: A part has another type; the message names the part.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass_of(kind, value, name)
    if origin is tuple and isinstance(value, list):
        return tuple(from_json(parts[0], one, f"{name}[{i}]") for i, one in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: from_json(parts[1], one, f"{name}.{key}") for key, one in value.items()}
    if origin is Literal:
        return value if value in parts else _refuse(value, f"one of {', '.join(map(str, parts))}", name)
    if isinstance(kind, UnionType):
        kinds = (type(value), float) if type(value) is int else (type(value),)
        plain = [
            part
            for one in kinds
            for part in parts
            if (dict if is_dataclass(part) else get_origin(part) or part) is one
        ]
        return from_json(plain[0], value, name) if plain else _refuse(value, kind, name)
    if kind is float and type(value) in (int, float):
        return _finite(value, name)
    return value if type(value) is kind else _refuse(value, kind, name)


def _dataclass_of(kind: Any, value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        _refuse(value, "an object", name)
    known = {field.name: field for field in fields(kind)}
    if strange := sorted(value.keys() - known):
        raise ValueError(f"{name} has the unknown entry {shortened(strange[0])}")
    missing = [
        key
        for key, field in known.items()
        if key not in value and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{name} lacks {missing[0]}")
    types = get_type_hints(kind)
    return kind(**{key: from_json(types[key], one, f"{name}.{key}") for key, one in value.items()})


def _finite(value: float, name: str) -> float:
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} is {shortened(value)}, not a finite number")
    return float(value)


def _refuse(value: Any, kind: Any, name: str) -> NoReturn:
    raise ValueError(f"{name} is {shortened(value)}, not {getattr(kind, '__name__', kind)}")
