"""``biofm info``: what a model is, and what computes here."""

import json
from typing import Any

import pytest


def test_info_tells_what_computes_here_and_why(biofm: Any) -> None:
    outcome = biofm("info", "--kernels", "--device", "cpu")
    assert outcome.status == 0
    header, first, *_ = outcome.out.splitlines()
    assert header.split()[:2] == ["operation", "dtype"]
    assert first.startswith("attention")
    assert "grouped" in first
    assert "torch's kernel for the CPU" in first


def test_info_tells_programs_the_same(biofm: Any) -> None:
    rows = json.loads(biofm("info", "--kernels", "--device", "cpu", "--json").out)
    assert {row["dtype"] for row in rows} == {"float32", "bfloat16", "float16"}
    assert all(row["backend"] and row["reason"] for row in rows)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("--kernels", "protein-nano"),
            "protein-nano: --kernels is about the machine, not about a model. Leave out the model or "
            "--kernels",
        ),
        (("--device", "cpu"), "--device: a device is only for --kernels. Add --kernels, or leave it out"),
        (("--kernels", "--device", "tpu9"), "--device: no such device: tpu9"),
    ],
)
def test_options_that_would_be_ignored_or_cannot_be_are_refused(
    words: tuple[str, ...], sentence: str, biofm: Any
) -> None:
    outcome = biofm("info", *words)
    assert outcome.status == 1
    assert sentence in outcome.err
    assert not outcome.out
