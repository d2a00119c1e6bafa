"""What a request may be."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from biofm.policy import Principal, Request, Target

PERSON = Principal(kind="person", name="rosalind")
SOUND: Mapping[str, Any] = {
    "verb": "embed",
    "principal": PERSON,
    "reads": {"input": (Path("proteins.fasta"),)},
    "writes": {"output": Target(path=Path("out.h5ad"))},
}


def test_a_sound_request_is_accepted_with_nothing_contacted_and_no_model_by_default() -> None:
    request = Request(**SOUND)

    assert request.contacts == ()
    assert request.model == ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"verb": "destroy"}, "'destroy' is not one of the verbs contacts, "),
        ({"reads": {"input": Path("a")}}, "the reads of 'input' are a tuple of Paths"),
        ({"reads": {"input": ("a",)}}, "the reads of 'input' are Paths, not 'a'"),
        ({"writes": {"output": Path("a")}}, "the write of 'output' is a Target"),
        ({"contacts": "huggingface.co"}, "contacts are a tuple of host names, not 'huggingface.co'"),
    ],
)
def test_a_request_that_does_not_fit_its_type_is_an_error(fault: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Request(**{**SOUND, **fault})


def test_a_request_does_not_change_when_the_callers_dictionaries_do() -> None:
    reads = {"input": (Path("a"),)}
    request = Request(**{**SOUND, "reads": reads})

    reads["input"] = (Path("b"),)

    assert request.reads["input"] == (Path("a"),)
    with pytest.raises(TypeError, match="does not support item assignment"):
        request.reads["input"] = (Path("b"),)  # type: ignore[index]
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
