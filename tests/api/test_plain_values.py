"""What options become in requests and in the ledger: words, numbers and tuples of them."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biofm.api.plain_values import plain
from biofm.api.request import request_of
from biofm.gate.judging import digest_of
from biofm.policy import is_plain
from biofm.training import FinetuneRecipe


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Folder:
    """A path of another library."""

    def __fspath__(self) -> str:
        return "/data/proteins"


class Odd:
    """Neither a number nor a word nor several."""


class OnlySeemsToHoldSeveral(Odd):
    def __iter__(self) -> Iterator[object]:
        raise TypeError("not this time")


@dataclass(frozen=True)
class NotARecipe:
    where: Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (3, 3),
        (0.5, 0.5),
        (True, True),
        (None, None),
        (Path("/data/in.fasta"), "/data/in.fasta"),
        (Folder(), "/data/proteins"),
        (b"in.fasta", "in.fasta"),
        (("a", 1), ("a", 1)),
        ((Path("a"), "b", (Path("c"),)), ("a", "b", ("c",))),
        ([Path("a"), "b"], ("a", "b")),
        ({"b": Path("a"), 2: [1]}, "<dict>"),
        (range(3), "<range>"),
        (np.array([1.5, 2.5]), "<ndarray>"),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        ("M" * 5000, "M" * 4000 + f"... (1,000 more, SHA-256 of all {sha256_of_text('M' * 5000)})"),
        (
            ["p"] * 25,
            ("p",) * 20 + (f"... (5 more, SHA-256 of all {sha256_of_text(json.dumps(['p'] * 25))})",),
        ),
        (float("nan"), "nan"),
        ((1.0, float("inf")), (1.0, "inf")),
        (Odd(), "<Odd>"),
        (OnlySeemsToHoldSeveral(), "<OnlySeemsToHoldSeveral>"),
        (NotARecipe(Path("a")), "<NotARecipe>"),
        (NotARecipe, "<type>"),
        (np.array(1.5), "<ndarray>"),
    ],
)
def test_a_value_is_written_down_plainly_whatever_it_is(value: Any, expected: object) -> None:
    made = plain(value)

    assert made == expected
    assert is_plain(made)
    json.dumps(made, allow_nan=False)


def test_a_recipe_is_written_down_as_the_file_that_repeats_it() -> None:
    made = plain(FinetuneRecipe(lora_rank=4))

    assert isinstance(made, str)
    assert "lora_rank = 4\n" in made


def test_what_can_be_gone_through_only_once_is_left_to_the_run() -> None:
    several = iter(["a", "b"])

    assert isinstance(plain(several), str)
    assert list(several) == ["a", "b"]


LONG = "M" * 5000
MANY = [f"P{number}" for number in range(25)]


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (LONG, LONG[:-1] + "K"),
        (LONG + "\udcff", LONG + "\udcfe"),
        (MANY, [*MANY[:-1], "another"]),
        (MANY, [*MANY[:-2], *MANY[:-3:-1]]),
        ([*MANY, LONG], [*MANY, LONG[:-1] + "K"]),
        ([MANY], [[*MANY[:-1], "another"]]),
        ([*MANY, 1], [*MANY, "1"]),
    ],
    ids=["text", "bytes of a name", "list", "order", "text in a list", "list in a list", "type"],
)
def test_two_long_values_that_differ_anywhere_never_share_an_approval(value: Any, other: Any) -> None:
    digests = {digest_of(request_of("embed", options={"input": plain(one)})) for one in (value, other)}

    assert plain(value) != plain(other)
    assert len(digests) == 2
