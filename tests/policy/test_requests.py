"""Requests are checked and cannot be changed."""

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from biofm.policy import Content, Principal, Request, Target

PERSON = Principal(kind="person", name="rosalind")
SOUND: Mapping[str, Any] = {
    "verb": "embed",
    "verbs": frozenset({"embed", "score"}),
    "principal": PERSON,
    "options": {"layer": -1, "pool": "mean"},
    "reads": {"input": (Path("proteins.fasta"),)},
    "writes": {"output": Target(path=Path("out.h5ad"))},
    "hosts": ("huggingface.co",),
    "sends": frozenset({Content.FREE}),
    "code": (),
    "device": "cpu",
    "model": "protein-nano",
    "once": frozenset({"input"}),
}


@pytest.mark.parametrize("field", SOUND)
def test_every_field_of_a_request_is_required_and_none_has_a_default(field: str) -> None:
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{field}'"):
        Request(**{name: value for name, value in SOUND.items() if name != field})
    assert {one.name for one in fields(Request)} == set(SOUND)


def test_a_verb_that_is_not_declared_is_no_error_of_the_request_but_a_matter_of_the_rules() -> None:
    assert Request(**SOUND | {"verb": "synthesise"}).verb == "synthesise"


@pytest.mark.parametrize("value", ["", "a", 0, -1, 0.5, True, None, (), ("a", 1, (None, 0.5))])
def test_an_option_is_a_word_a_number_a_truth_value_nothing_or_a_tuple_of_such(value: Any) -> None:
    assert Request(**SOUND | {"options": {"option": value}}).options == {"option": value}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"verb": ""}, "a request needs a verb"),
        ({"verbs": {"embed"}}, "the declared verbs are a frozenset, not {'embed'}"),
        ({"verbs": "embed"}, "the declared verbs are a frozenset, not 'embed'"),
        ({"options": {"input": Path("a")}}, r"the option 'input' is a plain value, not PosixPath\('a'\)"),
        ({"options": {"inputs": ["a"]}}, r"the option 'inputs' is a plain value, not \['a'\]"),
        ({"options": {"inputs": ("a", ["b"])}}, "the option 'inputs' is a plain value"),
        ({"options": {"temperature": math.nan}}, "the option 'temperature' is a plain value, not nan"),
        ({"options": {"temperatures": (1.0, math.inf)}}, "the option 'temperatures' is a plain value"),
        ({"options": {1: "a"}}, "the name of an option is a str, not 1"),
        ({"once": "input"}, "the roles read once are a frozenset, not 'input'"),
        ({"reads": {"input": Path("a")}}, "the reads of 'input' are a tuple of Paths"),
        ({"reads": {"input": ("a",)}}, "the reads of 'input' are Paths, not 'a'"),
        ({"writes": {"output": Path("a")}}, "the write of 'output' is a Target"),
        ({"model": None}, "the name of a model is a str, not None"),
        ({"device": None}, "the name of a device is a str, not None"),
        ({"hosts": "huggingface.co"}, "hosts is a tuple of host names, not 'huggingface.co'"),
        ({"hosts": (1,)}, r"hosts is a tuple of host names, not \(1,\)"),
        ({"code": ("a", None)}, "code is a tuple of names of programs, not"),
        ({"sends": {Content.FREE}}, "sends is a frozenset of Content, not"),
        ({"sends": frozenset({"free"})}, "sends is a frozenset of Content, not"),
        ({"sends": frozenset()}, "a request that contacts machines says what it sends"),
        ({"hosts": ()}, "one that sends says to whom"),
    ],
)
def test_a_request_that_does_not_fit_its_type_is_an_error(fault: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Request(**{**SOUND, **fault})


def test_a_request_does_not_change_when_the_callers_dictionaries_do() -> None:
    reads, options = {"input": (Path("a"),)}, {"layer": 1}
    request = Request(**{**SOUND, "reads": reads, "options": options})

    reads["input"] = (Path("b"),)
    options["layer"] = 2

    assert request.reads["input"] == (Path("a"),)
    assert request.options == {"layer": 1}
    with pytest.raises(TypeError, match="does not support item assignment"):
        request.reads["input"] = (Path("b"),)  # type: ignore[index]
    with pytest.raises(TypeError, match="does not support item assignment"):
        request.options["layer"] = 2  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        request.model = "another"  # type: ignore[misc]


def test_a_principal_needs_a_kind_and_a_name() -> None:
    with pytest.raises(ValueError, match="a principal needs a kind"):
        Principal(kind="", name="rosalind")
    with pytest.raises(ValueError, match="a principal needs a name"):
        Principal(kind="person", name="")


def test_a_target_is_a_path_of_a_known_kind() -> None:
    with pytest.raises(ValueError, match="a target's path is a Path, not 'out'"):
        Target(path="out")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a target is one of file, .*, not 'socket'"):
        Target(path=Path("out"), kind="socket")  # type: ignore[arg-type]
