"""What ``run-program`` says of wrong inputs: its worker's module, called in this process."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biofm.core.errors import InputError
from biofm.core.programs import ProgramJob, ProgramResult
from biofm.inference.worker import run
from tests.programs import Many, Shrink, Smooth, Steal, Sum, save_array, save_program, some_array

N_BYTES = 1 << 20


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())


def run_here(n_bytes: int = N_BYTES) -> tuple[ProgramResult, bytes]:
    """Return what the worker answers, and what it writes."""
    names = {"program": "program.pt2", "input": "input.npy", "spacing": "input.json"}
    Path("memory").write_bytes(bytes(n_bytes))
    with (
        open("program.pt2", "rb") as program,
        open("input.npy", "rb") as array,
        open("input.json", "rb") as spacing,
        open("memory", "r+b") as memory,
    ):
        files = {"program": program, "input": array, "spacing": spacing}
        result = run(ProgramJob(**names), files, memory)
    return result, Path("memory").read_bytes()


def test_the_result_is_described_and_its_elements_are_in_memory() -> None:
    result, content = run_here()
    assert result == ProgramResult(dtype="float32", shape=(4, 5, 6), spacing_mm=(0.7, 0.7, 1.25))
    program = torch.export.load("program.pt2").module()
    with torch.no_grad():
        plainly = program(torch.from_numpy(some_array())).numpy()
    assert content.startswith(plainly.tobytes())


Make = Callable[[], object]
WRONG: dict[str, tuple[Make, list[str]]] = {
    "not a program": (
        lambda: Path("program.pt2").write_bytes(b"text"),
        ["program.pt2", "no exported program"],
    ),
    "an empty program": (
        lambda: Path("program.pt2").write_bytes(b""),
        ["program.pt2", "no exported program"],
    ),
    "a cut program": (
        lambda: os.truncate("program.pt2", 3000),
        ["program.pt2", "no exported program", "torch.export.save"],
    ),
    "weights alone": (
        lambda: torch.save({"weight": torch.zeros(2)}, "program.pt2"),
        ["program.pt2", "no exported program"],
    ),
    "an array of another rank": (
        lambda: save_array(np.zeros((4, 5), "float32"), [1, 1]),
        ["program.pt2", "takes an array of 3 axes, and this one has 2"],
    ),
    "an array of another type": (
        lambda: save_array(some_array("float64")),
        ["program.pt2", "takes float32, and the array holds float64", "not convert"],
    ),
    "a spacing that is not JSON": (
        lambda: Path("input.json").write_text("0.7"),
        ["input.json", "no list spacing_mm"],
    ),
    "an empty spacing": (lambda: Path("input.json").write_text(""), ["input.json", "this is no JSON file"]),
    "a spacing that is not a number": (
        lambda: save_array(some_array(), [0.7, 0.7, float("nan")]),
        ["input.json", "a positive number of millimetres, not nan"],
    ),
    "an endless spacing": (lambda: save_array(some_array(), [1, 1, float("inf")]), ["input.json", "not inf"]),
    "a spacing of zero": (lambda: save_array(some_array(), [1, 1, 0]), ["input.json", "not 0"]),
    "a spacing that is true": (lambda: save_array(some_array(), [1, 1, True]), ["input.json", "not True"]),
    "too few spacings": (
        lambda: save_array(some_array(), [1, 1]),
        ["input.json", "2 numbers, and the array has 3 axes"],
    ),
    "a huge spacing file": (
        lambda: Path("input.json").write_text(" " * (2 << 20)),
        ["input.json", "larger than 1 MiB"],
    ),
    "a deep spacing file": (lambda: Path("input.json").write_text("[" * 100_000), ["input.json", "too deep"]),
    "an array that is pickled": (
        lambda: np.save("input.npy", np.array([Steal("1")], dtype=object), allow_pickle=True),
        ["input.npy", "the type object"],
    ),
    "an array of complex numbers": (lambda: save_array(some_array("complex64")), ["input.npy", "complex64"]),
    "an array that is text": (lambda: Path("input.npy").write_text("1 2 3"), ["input.npy", "no .npy file"]),
    "an empty array file": (lambda: Path("input.npy").write_bytes(b""), ["input.npy", "no .npy file"]),
    "a cut array": (lambda: os.truncate("input.npy", 200), ["input.npy", "480 bytes, and 72 are there"]),
    "an array with no elements": (
        lambda: save_array(np.zeros((0, 5, 6), "float32")),
        ["input.npy", "(0, 5, 6)"],
    ),
    "a number alone": (lambda: save_array(np.array(1, "float32"), []), ["input.npy", "()"]),
    "a program that changes the shape": (
        lambda: save_program(Shrink(), torch.zeros(3, 4, 5)),
        ["program.pt2", "(2, 5, 6) of (4, 5, 6)", "spacing is not known"],
    ),
    "a program of three inputs": (
        lambda: save_program(Sum(), *[torch.zeros(3, 4, 5)] * 3),
        ["program.pt2", "does not take an array"],
    ),
    "a program of three results": (
        lambda: save_program(Many(), torch.zeros(3, 4, 5)),
        ["program.pt2", "does not return an array"],
    ),
    "a program that fails": (
        lambda: torch.export.save(torch.export.export(Smooth(), (torch.zeros(3, 4, 5),)), "program.pt2"),
        ["program.pt2", "the program fails on input.npy"],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_is_one_clear_error(what: str) -> None:
    make, (where, *parts) = WRONG[what]
    make()
    with pytest.raises(InputError) as error:
        run_here()
    assert error.value.where == where
    for part in parts:
        assert part in str(error.value)


def test_a_result_that_is_larger_than_the_memory_is_not_written() -> None:
    with pytest.raises(InputError, match="it returns 480 bytes, and 479 are allowed"):
        run_here(479)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "object"},
        {"shape": (4, -5, 6)},
        {"shape": ()},
        {"shape": (1,) * 33, "spacing_mm": (1.0,) * 33},
        {"spacing_mm": (1.0, 1.0)},
        {"spacing_mm": (1.0, 1.0, 0.0)},
    ],
)
def test_an_array_that_cannot_be_is_no_result(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"dtype": "float32", "shape": (4, 5, 6), "spacing_mm": (1.0, 1.0, 1.0)}
    ProgramResult(**right)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"no (type|array|spacing)|is no"):
        ProgramResult(**(right | wrong))  # type: ignore[arg-type]
