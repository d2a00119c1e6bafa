"""Typed values travel as JSON and come back with their types; what does not fit its type is refused."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from biofm.core.typed_json import from_plain, to_plain


class Pair(NamedTuple):
    name: str
    share: float


@dataclass(frozen=True)
class Part:
    number: int
    note: str | None = None


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    both: tuple[str, int]
    shares: Mapping[str, float]
    pairs: list[Pair]
    words: Sequence[str]
    anything: Any


WHOLE = Whole(
    parts=(Part(1), Part(2, "x")), both=("a", 2), shares={"b": math.inf, "c": 0.5, "d": 3.0},
    pairs=[Pair("p", 0.25)], words=["u"], anything={"deep": [1, None, True, 1.5]},
)  # fmt: skip


def travelled(kind: Any, value: Any) -> Any:
    return from_plain(kind, json.loads(json.dumps(to_plain(value), allow_nan=False)))


def test_a_nested_value_comes_back_equal() -> None:
    assert travelled(Whole, WHOLE) == WHOLE


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.array([[0.1, np.nan], [np.inf, -0.0]]),
        np.zeros((0, 4), np.float32),
        np.array([True, False]),
    ],
)
def test_an_array_comes_back_bit_for_bit(array: Any) -> None:
    found = travelled(Any, array)
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_a_float_that_is_no_number_comes_back() -> None:
    assert math.isnan(travelled(float, math.nan))
    assert travelled(float | None, -math.inf) == -math.inf
    assert travelled(Any, np.float64(0.5)) == 0.5
    assert to_plain(Path("a/b")) == "a/b"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, "1"),
        (int, True),
        (str, None),
        (float, {"<number>": "seven"}),
        (Part, {"number": 1}),
        (Part, {"number": 1, "note": None, "more": 2}),
        (Part, {"number": "1", "note": None}),
        (tuple[str, int], ["a"]),
        (tuple[Part, ...], [{"number": 1}]),
        (list[int], {"a": 1}),
        (Pair, ["a"]),
        (Any, {"<array>": "object", "values": [1], "shape": [1]}),
        (Any, {"<array>": "int64", "values": [1], "shape": [2]}),
        (Any, {"<array>": "int64", "values": ["x"], "shape": [1]}),
    ],
)
def test_what_does_not_fit_its_type_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(ValueError, match="the result"):
        from_plain(kind, value)


def test_a_value_of_another_kind_does_not_travel() -> None:
    with pytest.raises(TypeError, match="of the type set cannot travel"):
        to_plain({"a": {1}})
