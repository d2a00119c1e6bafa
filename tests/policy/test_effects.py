"""The effects of options are a closed list."""

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import get_args

import pytest

from biofm.policy import (
    NONE,
    OWED,
    Code,
    ConnectsTo,
    Effect,
    Host,
    NoEffect,
    Reads,
    RunsCode,
    UsesDevice,
    Writes,
)


def test_there_are_six_effects_and_no_other() -> None:
    assert set(get_args(Effect)) == {Reads, Writes, ConnectsTo, RunsCode, UsesDevice, NoEffect}
    assert isinstance(NONE, NoEffect)


@pytest.mark.parametrize("kind", [Reads, Writes, ConnectsTo, RunsCode, UsesDevice])
def test_an_effect_says_in_which_role_and_does_not_change(kind: type[Reads]) -> None:
    effect = kind("input")

    assert (effect.role, effect) == ("input", kind("input"))
    assert effect != kind("output")
    with pytest.raises(TypeError, match="role"):
        kind()  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        effect.role = "output"  # type: ignore[misc]


def test_a_file_is_not_taken_to_be_read_once_unless_that_is_said() -> None:
    assert not Reads("input").once
    assert Reads("input", once=True).once


def test_paths_hosts_and_code_owe_an_effect_each() -> None:
    expected: Mapping[object, tuple[type[Effect], ...]] = {
        Path: (Reads, Writes),
        Host: (ConnectsTo,),
        Code: (RunsCode,),
    }
    assert expected == OWED
