"""The JSON schema of policy files is made from the same annotations by which they are read.

What no schema can say is checked by the reader alone: the last line, repeated keys, anchors and tags, two
rules or sinks of one name, and words that readers of YAML understand differently.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from biofm.policy.accounts import Accounts
from biofm.policy.labels import LETTERS, Labels
from biofm.policy.policies import Policy
from biofm.policy.typed import Between, Filled, Fits, describe, keys_of, unpack

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {str: "string", int: "integer", bool: "boolean", NoneType: "null"}
KEYED = {
    "if": {"properties": {"texts": {"const": "keyed"}}},
    "then": {"properties": {"key": {"type": "string"}}},
    "else": {"properties": {"key": {"type": "null"}}},
}
"""Keyed texts need a key, and others have none."""


def policy_schema() -> dict[str, Any]:
    """Return the JSON schema of a policy file."""
    return {"$schema": DIALECT, "title": "A policy of biofm", **_schema_of(Policy), **KEYED}


def accounts_schema() -> dict[str, Any]:
    """Return the JSON schema of a system's file that says which account has which policy."""
    return {"$schema": DIALECT, "title": "The policies of accounts", **_schema_of(Accounts)}


def _schema_of(kind: Any) -> dict[str, Any]:
    """Return the schema of an annotation."""
    base, notes = unpack(kind)
    origin = get_origin(base)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema_of(one) for one in get_args(base)]}
    if origin is Literal:
        return {"enum": list(get_args(base))}
    if base is Labels:
        return {"type": "array", "items": {"enum": list(LETTERS)}, "uniqueItems": True}
    if origin is tuple:
        items = _schema_of(get_args(base)[0])
        found: dict[str, Any] = {"type": "array", "items": items}
        if items.get("type") == "string" or "enum" in items:
            found["uniqueItems"] = True
        return found | ({"minItems": 1} if any(isinstance(note, Filled) for note in notes) else {})
    if origin is not None and issubclass(origin, Mapping):
        of_key, of_value = get_args(base)
        return {
            "type": "object",
            "propertyNames": _schema_of(of_key),
            "additionalProperties": _schema_of(of_value),
        }
    if is_dataclass(base):
        return _schema_of_keys(base)
    return {"type": TYPES[base], **_limits(kind, notes)}


def _schema_of_keys(kind: Any) -> dict[str, Any]:
    keys, meanings = keys_of(kind), _meanings(kind)
    return {
        "type": "object",
        "description": (inspect.getdoc(kind) or "").split("\n")[0],
        "additionalProperties": False,
        "required": [key.name for key in keys if key.is_required],
        "properties": {
            key.name: {"description": meanings[key.field], **_schema_of(key.kind)} for key in keys
        },
    }


def _limits(kind: Any, notes: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, Fits):
            found |= {"pattern": note.pattern, "$comment": describe(kind)}
        elif isinstance(note, Between):
            found |= {"minimum": note.least, "maximum": note.most}
    return found


def _meanings(kind: Any) -> dict[str, str]:
    """Return what the docstring of a class says of each field."""
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
