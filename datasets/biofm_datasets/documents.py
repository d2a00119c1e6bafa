"""Documents of settings, read whole: JSON and TOML of a bounded size and of the types that were meant, with
every fault a ``ValueError``.

The parsers of the standard library answer values nested some thousands deep with a ``RecursionError``, and
read whatever a stream holds: ``/dev/zero`` has no end.
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
"""An index of a checkpoint of a thousand shards has about a tenth of it."""
LARGEST_TOML_BYTES = 256 << 10
"""A recipe has about a hundredth of it."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")  # whole pairs among them
_TOO_DEEP = "its values are nested too deep"


def load_json(stream: BinaryIO) -> Any:
    """What a JSON document holds. Raises ValueError, saying why, where it is none or too large."""
    return parse_json(_read(stream, LARGEST_JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """What a JSON text in memory holds. Raises ValueError where it is none, or holds a half of a surrogate
    pair, which no file and no terminal takes.
    """
    try:
        text = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def load_toml(stream: BinaryIO) -> dict[str, Any]:
    """What a TOML document holds. Raises ValueError, saying why, where it is none or too large."""
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
    """A value of JSON as one of this type: a plain type, a union, a Literal, a list as ``tuple[X, ...]``, an
    object as ``dict[str, X]`` or as a dataclass. ``name`` is what to call it.

    Raises ValueError that names the place where another type stands.
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
        raise ValueError(f"{name} holds {shortened(strange[0])}, which is not known")
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
