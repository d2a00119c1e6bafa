"""Entries are canonical JSON, which two programs write alike, and each is chained to the one before."""

import hashlib
import json
import random
import struct
from typing import Any

import pytest

from biofm.gate.ledger.entries import NO_HASH, canonical, chained, entry_of_line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ({"\U0001f600": 1, "\ufb33": 2}, r'{"\ud83d\ude00":1,"\ufb33":2}'),  # in the order of UTF-16
        ('é"\\\n\x7f', r'"\u00e9\"\\\n\u007f"'),
        ("name\udce9", r'"name\\udce9"'),
        # Numbers as in RFC 8785, appendix B.
        (0.0, "0"), (-0.0, "0"), (5e-324, "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"), (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"), (1e23, "1e+23"), (1e21, "1e+21"),
        (999999999999999900000.0, "999999999999999900000"), (1e-6, "0.000001"), (1e-7, "1e-7"),
        (333333333.3333332, "333333333.3333332"), (-1.5, "-1.5"), (1e-27, "1e-27"),
        # A double would round the second.
        (2**53, "9007199254740992"), (2**53 + 1, '"9007199254740993"'), (-(2**70), f'"{-(2**70)}"'),
    ],
)  # fmt: skip
def test_a_value_is_written_in_one_way(value: Any, text: str) -> None:
    assert canonical(value) == text


def test_what_was_written_is_read_and_written_again_alike() -> None:
    generator = random.Random(5)
    for _ in range(5_000):
        (number,) = struct.unpack("d", generator.randbytes(8))
        if number - number != 0:
            continue
        whole = generator.randrange(-(2**80), 2**80) >> generator.randrange(80)
        text = canonical([number, whole])
        assert canonical(json.loads(text)) == text
        assert float(json.loads(text)[0]) == number


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": {1, 2}}, b"bytes"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not finite|has no place in the ledger"):
        canonical(value)


def test_a_hash_covers_the_hash_before_the_number_and_the_body() -> None:
    first = chained(NO_HASH, 1, {"a": 1})
    second = chained(first.hash, 2, {"a": 1})
    assert second.hash == hashlib.sha256(f'{first.hash}2{{"a":1}}'.encode()).hexdigest()
    assert entry_of_line(second.line) == second
    assert second.line == f'{{"body":{{"a":1}},"hash":"{second.hash}","seq":2}}'


@pytest.mark.parametrize("line", ["", "{}", '{"body":{},"hash":"a","seq":1}', '{"hash":"a","seq":1}'])
def test_another_line_is_no_entry(line: str) -> None:
    with pytest.raises(ValueError, match="it is no entry"):
        entry_of_line(line)
