"""Typed reading: the nodes of a document become dataclasses, whose annotations alone say what is accepted.

The annotations are made of ``str``, ``int``, ``bool``, ``None``, ``Path``, ``Literal``, ``Labels``,
enumerations, dataclasses, ``tuple[X, ...]``, ``frozenset[X]``, ``Mapping[str, X]``, ``X | Y``, and
``Annotated`` with the limits below. The JSON schema (``biofm.policy.schema``) is made from the same ones.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from biofm.policy.documents import DocumentError, Node
from biofm.policy.labels import LETTERS, Labels, letters_of
from biofm.policy.requests import is_plain

NO_LINE_END = r"(?!\n)"
"""It follows ``$`` in patterns: Python's ``$`` also matches before a last line end, and ECMA's does not."""
KINDS: Mapping[type, str] = {str: "a text", int: "a whole number", bool: "true or false", NoneType: "null"}


@dataclass(frozen=True, slots=True)
class Fits:
    """Limits a text.

    Attributes:
        pattern: The regular expression that the text fits, in the syntax that Python and ECMA share.
        meaning: What such a text is, such as "the name of a verb".
    """

    pattern: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Between:
    """Limits a whole number.

    Attributes:
        least: The smallest number that is allowed.
        most: The largest one.
    """

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Filled:
    """Says that a list has at least one item."""


@dataclass(frozen=True, slots=True)
class Key:
    """Holds one key of a document: a field of a dataclass with its annotation.

    Attributes:
        name: The key in the document.
        field: The name of the field.
        kind: The annotation.
        is_required: Whether the document must have the key.
    """

    name: str
    field: str
    kind: Any
    is_required: bool


def build(kind: Any, node: Node, where: str = "") -> Any:
    """Return the value of a node as what an annotation says.

    Args:
        kind: The annotation.
        node: The node.
        where: The keys that lead to the node, such as "rules.2.when".

    Raises:
        DocumentError: The node is of another type or outside its limits, or has unknown or missing keys.
    """
    base, notes = unpack(kind)
    origin = get_origin(base)
    if _is_any_plain(base):
        value = _tupled(node.plain())
        return value if is_plain(value) else _refuse(kind, node, where)
    if origin in (Union, UnionType):
        return _build_one_of(get_args(base), node, where)
    if origin is Literal:
        known = [one for one in get_args(base) if type(one) is type(node.value) and one == node.value]
        return known[0] if known else _refuse(kind, node, where)
    if base is Labels:
        return _build_labels(kind, node, where)
    if origin in (tuple, frozenset):
        return _build_list(kind, node, where)
    if origin is not None and issubclass(origin, Mapping):
        return _build_mapping(kind, node, where)
    if is_dataclass(base):
        return _build_dataclass(base, node, where)
    if issubclass(base, Enum):
        found = {one.value: one for one in base}
        return (
            found[node.value]
            if type(node.value) is str and node.value in found
            else _refuse(kind, node, where)
        )
    plain_kind = str if base is Path else base
    if type(node.value) is not plain_kind or not all(_holds(note, node.value) for note in notes):
        _refuse(kind, node, where)
    return Path(node.value) if base is Path else node.value


def unpack(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return an annotation without its limits, and the limits."""
    if get_origin(kind) is not Annotated:
        return kind, ()
    base, *notes = get_args(kind)
    return base, tuple(notes)


@cache
def keys_of(kind: type) -> tuple[Key, ...]:
    """Return the keys that a document of this dataclass has.

    A field's metadata may name its ``key`` in the document; an empty one is no part of the document.
    """
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        Key(_name_of(field), field.name, hints[field.name], _has_no_default(field))
        for field in fields(kind)
        if field.init and _name_of(field)
    )


def describe(kind: Any) -> str:
    """Return in words what an annotation accepts."""
    base, notes = unpack(kind)
    origin = get_origin(base)
    for note in notes:
        if isinstance(note, Fits):
            return note.meaning
        if isinstance(note, Between):
            return f"a whole number from {note.least:,} to {note.most:,}"
    if _is_any_plain(base):
        return "a text, a number, true, false, null or a list of such"
    if origin in (Union, UnionType):
        return " or ".join(map(describe, get_args(base)))
    if origin is Literal:
        return " or ".join(str(one) for one in get_args(base))
    if base is Labels:
        return f"a list of the letters {', '.join(LETTERS)}"
    if origin in (tuple, frozenset):
        some = (
            "a list of at least one, each"
            if any(isinstance(note, Filled) for note in notes)
            else "a list, each"
        )
        return f"{some} {describe(get_args(base)[0])}"
    if is_dataclass(base):
        named: Any = base
        return f"a mapping with the keys {', '.join(key.name for key in keys_of(named))}"
    if origin is None and issubclass(base, Enum):
        return " or ".join(str(one.value) for one in base)
    return KINDS.get(str if base is Path else base, "a mapping")


def spell(value: Any) -> Any:
    """Return what ``build`` reads as a value, in dictionaries, lists and plain values that JSON can hold.

    Args:
        value: An instance of one of the dataclasses, or a value of one of its fields.
    """
    if is_dataclass(value):
        kind: Any = type(value)
        return {key.name: spell(getattr(value, key.field)) for key in keys_of(kind)}
    if isinstance(value, Labels):
        return list(letters_of(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: spell(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(spell, value))
    if isinstance(value, tuple):
        return list(map(spell, value))
    return str(value) if isinstance(value, Path) else value


def _is_any_plain(kind: Any) -> bool:
    """Return whether an annotation is ``Plain``, the only union that holds ``float``."""
    return get_origin(kind) in (Union, UnionType) and float in get_args(kind)


def _name_of(field: Field[Any]) -> str:
    name: str = field.metadata.get("key", field.name)
    return name


def _has_no_default(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _build_one_of(kinds: tuple[Any, ...], node: Node, where: str) -> Any:
    """Return the value as the first of these annotations that can hold a value of its shape."""
    for kind in kinds:
        base, _ = unpack(kind)
        is_list = get_origin(base) in (tuple, frozenset)
        shape = list if is_list else NoneType if base is NoneType else str
        if isinstance(node.value, shape):
            return build(kind, node, where)
    return _refuse(Union[kinds], node, where)  # noqa: UP007  # there is no other way to write it


def _build_labels(kind: Any, node: Node, where: str) -> Labels:
    words = node.plain()
    if not isinstance(words, list) or len(set(map(str, words))) < len(words):
        _refuse(kind, node, where)
    found = Labels.NONE
    for word in words:
        if not isinstance(word, str) or word not in LETTERS:
            _refuse(kind, node, where)
        found |= LETTERS[word]
    return found


def _build_list(kind: Any, node: Node, where: str) -> Any:
    base, notes = unpack(kind)
    if not isinstance(node.value, list):
        _refuse(kind, node, where)
    if not node.value and any(isinstance(note, Filled) for note in notes):
        _refuse(kind, node, where)
    plain = [one.plain() for one in node.value]
    for i, one in enumerate(plain):
        if one in plain[:i] and type(one) is str:
            what = f"{one!r} stands there twice"
            raise DocumentError(what, spell_place(node.value[i], _below(where, i + 1)), "Keep one of them")
    item = get_args(base)[0]
    values = [build(item, one, _below(where, i)) for i, one in enumerate(node.value, start=1)]
    return frozenset(values) if get_origin(base) is frozenset else tuple(values)


def _build_mapping(kind: Any, node: Node, where: str) -> Any:
    if not isinstance(node.value, dict):
        _refuse(kind, node, where)
    of_key, of_value = get_args(unpack(kind)[0])
    return {
        build(of_key, Node(key, one.line), where): build(of_value, one, _below(where, key))
        for key, one in node.value.items()
    }


def _build_dataclass(kind: Any, node: Node, where: str) -> Any:
    if not isinstance(node.value, dict):
        _refuse(kind, node, where)
    keys = {key.name: key for key in keys_of(kind)}
    for name, one in node.value.items():
        if name not in keys:
            near = get_close_matches(name, keys, n=1, cutoff=0.5)
            remedy = f"Do you mean {near[0]}?" if near else f"The keys are {', '.join(keys)}"
            raise DocumentError(f"there is no key {name!r}", spell_place(one, where), remedy)
    missing = [name for name, key in keys.items() if key.is_required and name not in node.value]
    if missing:
        what = f"the key {missing[0]!r} is missing"
        raise DocumentError(
            what, spell_place(node, where), f"Add {missing[0]}: {describe(keys[missing[0]].kind)}"
        )
    values = {
        keys[name].field: build(keys[name].kind, one, _below(where, name)) for name, one in node.value.items()
    }
    try:
        return kind(**values)
    except ValueError as error:  # what the class itself refuses: its fields do not fit together
        raise DocumentError(str(error), spell_place(node, where), "Make them fit") from error


def _holds(note: Any, value: Any) -> bool:
    if isinstance(note, Fits):
        return re.search(note.pattern, value) is not None
    return note.least <= value <= note.most if isinstance(note, Between) else True


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _refuse(kind: Any, node: Node, where: str) -> Any:
    """Raise the DocumentError of a value that an annotation does not accept."""
    shown = node.plain()
    if isinstance(shown, list | dict):
        spelled = ("an empty " if not shown else "a ") + ("list" if isinstance(shown, list) else "mapping")
    else:
        spelled = (
            "null" if shown is None else str(shown).lower() if isinstance(shown, bool) else repr(shown)[:80]
        )
    wanted = describe(kind)
    raise DocumentError(f"{spelled} is not {wanted}", spell_place(node, where), f"Give {wanted}")


def _below(where: str, key: str | int) -> str:
    return f"{where}.{key}" if where else str(key)


def spell_place(node: Node, where: str) -> str:
    """Return the line and the keys of a node, as far as they are known."""
    return ", ".join(filter(None, (f"line {node.line}" if node.line else "", where))) or "the file"
