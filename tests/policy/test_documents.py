"""Requests and evidence are read from JSON as strictly as policies from YAML, and can be written again."""

import json
from pathlib import Path
from typing import Any

import pytest

from biofm.policy import Content, Evidence, Labels, Request, Target
from biofm.policy.documents import DocumentError, read_json
from biofm.policy.typed import build, spell
from tests.policy.requests import alteration, asking, found

REQUEST = asking(
    options={"layer": -1, "pool": "mean", "windows": (1, (0.5, None))},
    reads={"input": (Path("a.fasta"), Path("-"))},
    writes={"output": Target(path=Path("out"), kind="directory", overwrite=True)},
    hosts=("huggingface.co",),
    sends=frozenset({Content.FREE, Content.SEG}),
    once=frozenset({"input"}),
)
EVIDENCE = found(
    held=Labels.UNTRUSTED | Labels.EXTERNAL,
    inputs={"input": Labels.PRIVATE},
    alters=(alteration("other"),),
    outside=(Path("/srv"),),
)


def read(kind: type, plain: Any) -> Any:
    return build(kind, read_json(json.dumps(plain).encode()))


@pytest.mark.parametrize("value", [REQUEST, EVIDENCE])
def test_a_request_and_evidence_are_the_same_after_writing_and_reading_them(value: Any) -> None:
    assert read(type(value), spell(value)) == value


@pytest.mark.parametrize("value", [REQUEST, EVIDENCE])
def test_every_key_is_required_and_no_other_is_accepted(value: Any) -> None:
    plain = spell(value)
    for name in plain:
        with pytest.raises(DocumentError, match=f"the key '{name}' is missing"):
            read(type(value), {key: one for key, one in plain.items() if key != name})
    with pytest.raises(DocumentError, match="there is no key 'extra'"):
        read(type(value), plain | {"extra": 1})


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (Request, {"verb": ""}, "a request needs a verb"),
        (Request, {"verb": None}, "verb: null is not a text"),
        (Request, {"once": [1]}, r"once\.1: 1 is not a text"),
        (Request, {"options": {"a": {}}}, r"options\.a: an empty mapping is not a text, a number"),
        (Request, {"hosts": []}, "one that sends says to whom"),
        (Request, {"sends": ["all"]}, r"sends\.1: 'all' is not numbers or codes or seg or sr or free"),
        (Request, {"reads": {"input": "a"}}, r"reads\.input: 'a' is not a list"),
        (Request, {"principal": {"kind": "person"}}, "principal: the key 'name' is missing"),
        (Request, {"writes": {"output": {"path": "a", "kind": "socket"}}}, r"writes\.output\.kind: 'socket'"),
        (Evidence, {"held": ["Q"]}, "held: a list is not a list of the letters U, P, X, E"),
        (Evidence, {"approval": "yes"}, "approval: 'yes' is not none or live"),
        (Evidence, {"is_confined": 1}, "is_confined: 1 is not true or false"),
        (Evidence, {"screening": "pass"}, "screening: 'pass' is not Skip or Pass"),
        (Evidence, {"alters": [{"path": "a", "what": "moves", "maker": "own"}]}, r"alters\.1\.what"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(kind: type, change: dict[str, Any], message: str) -> None:
    plain = spell(REQUEST if kind is Request else EVIDENCE)
    with pytest.raises(DocumentError, match=message):
        read(kind, plain | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a":\n 1', "line 2: this is not JSON"),
        ("", "line 1: this is not JSON"),
        ("[" * 20 + "]" * 20, "nested too deeply"),
        ("[" * 200_000, "nested too deep|this is not JSON"),
        ("[" * 200_000 + "]" * 200_000, "nested too deep"),
    ],
)
def test_what_is_no_sound_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        read_json(text.encode())
