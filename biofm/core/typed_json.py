"""Typed values travel between processes as JSON, and come back by their declared type.

Unlike a pickle, what comes back can hold nothing but what its type says, whoever wrote it.
"""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from os import PathLike, fspath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

ARRAY, NUMBER = "<array>", "<number>"
"""Mark a numpy array, and a float that JSON lacks."""
DTYPES = ("float16", "float32", "float64", "int32", "int64", "bool")
"""The types of numbers that an array may have, by numpy's names."""
NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def to_plain(value: Any) -> Any:
    """Return a value as JSON can hold it.

    Args:
        value: A text, number, path, array, dataclass, list, tuple or mapping, or None.

    Raises:
        TypeError: A part has another type.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {NUMBER: str(float(value))}
    if isinstance(value, PathLike):
        return fspath(value)
    if is_dataclass(value):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # an array or a number of numpy
        plain = to_plain(value.tolist())
        is_array = bool(value.shape) or value.dtype.name not in ("float64", "int64", "bool")
        return {ARRAY: value.dtype.name, "values": plain, "shape": list(value.shape)} if is_array else plain
    raise TypeError(f"a value of the type {type(value).__name__} cannot travel between processes")


def from_plain(kind: Any, value: Any, name: str = "the result") -> Any:
    """Return a value of a type from its plain form.

    Args:
        kind: The type: a plain type, Any, a union, a Literal, a list, sequence, tuple, mapping, array or
            dataclass.
        value: The plain form, as ``to_plain`` makes it.
        name: What messages call the value.

    Raises:
        ValueError: A part has another type; the message names the part.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return from_plain(parts[0], value, name)
    if origin in (Union, UnionType):
        return _of_union(parts, value, name)
    if origin is Literal:
        return value if value in parts else _refuse(kind, name)
    if isinstance(value, dict):
        return _of_mapping(kind, value, name)
    if isinstance(value, list):
        return _of_list(kind, value, name)
    if kind is float and type(value) is int:
        return float(value)
    if kind in (Any, object) or type(value) is kind or (value is None and kind in (None, NoneType)):
        return value
    return _refuse(kind, name)


def _of_union(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    for kind in kinds:
        try:
            return from_plain(kind, value, name)
        except ValueError:
            continue
    return _refuse(Union[kinds], name)  # noqa: UP007 - the members are known only here.


def _of_mapping(kind: Any, value: dict[str, Any], name: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if value.keys() == {NUMBER} and kind in (Any, float):
        return NUMBERS.get(value[NUMBER]) if value[NUMBER] in NUMBERS else _refuse(kind, name)
    if ARRAY in value:
        return _of_array(value, name)
    if is_dataclass(kind):
        types = get_type_hints(kind, include_extras=True)
        if value.keys() != {one.name for one in fields(kind)}:
            return _refuse(kind, name)
        made = {key: from_plain(types[key], one, f"{name}.{key}") for key, one in value.items()}
        return kind(**made)  # type: ignore[operator]  # a class, as its name in the table of results says
    if kind is Any:
        return {key: from_plain(Any, one, f"{name}.{key}") for key, one in value.items()}
    if origin in (dict, Mapping) or getattr(origin, "__name__", "") == "Mapping":
        return {key: from_plain(parts[1], one, f"{name}.{key}") for key, one in value.items()}
    return _refuse(kind, name)


def _of_list(kind: Any, value: list[Any], name: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return [from_plain(Any, one, f"{name}[{i}]") for i, one in enumerate(value)]
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        types = list(get_type_hints(kind).values())
        if len(types) != len(value):
            return _refuse(kind, name)
        return kind(*(from_plain(it, one, name) for it, one in zip(types, value, strict=True)))
    if origin is tuple:
        kinds = [parts[0]] * len(value) if parts[1:] == (...,) else list(parts)
        if len(kinds) != len(value):
            return _refuse(kind, name)
        both = zip(kinds, value, strict=True)
        return tuple(from_plain(it, one, f"{name}[{i}]") for i, (it, one) in enumerate(both))
    if origin is list or getattr(origin, "__name__", "") == "Sequence":
        return [from_plain(parts[0], one, f"{name}[{i}]") for i, one in enumerate(value)]
    return _refuse(kind, name)


def _of_array(value: dict[str, Any], name: str) -> Any:
    import numpy as np  # slow to import, and most values hold no array

    dtype, shape = value.get(ARRAY), value.get("shape")
    if dtype not in DTYPES or not isinstance(shape, list) or value.keys() != {ARRAY, "values", "shape"}:
        return _refuse("an array", name)
    values = from_plain(Any, value["values"], name)
    try:
        return np.array(values, dtype).reshape([int(one) for one in shape])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no array of {dtype}") from error


def _refuse(kind: Any, name: str) -> Any:
    raise ValueError(f"{name} is not {getattr(kind, '__name__', kind)}")
