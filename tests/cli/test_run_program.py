"""The command ``biofm run-program``: a caller's program over an array, in a confined process."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import biofm
from biofm.core.errors import InputError, ProcessError, RefusedError
from tests.programs import (
    SHAPE,
    SPACING,
    Count,
    Fill,
    Halve,
    Smooth,
    plant,
    save_array,
    save_program,
    some_array,
)


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


WORDS = ("run-program", "program.pt2", "input.npy", "-o", "output.npy")


def test_the_numbers_are_those_of_the_program_run_plainly(biofm: Any) -> None:
    module, array = Smooth(), some_array()
    save_program(module, torch.zeros(3, 4, 5))
    save_array(array)
    outcome = biofm(*WORDS)
    assert outcome.err == "Wrote an array of 4 x 5 x 6 elements and its spacing to output.npy.\n"
    program = torch.export.load("program.pt2").module()
    with torch.no_grad():
        plainly = program(torch.from_numpy(array)).numpy()
    made = np.load("output.npy", allow_pickle=False)
    assert made.dtype == np.float32
    assert (made == plainly).all()


def test_the_output_says_its_spacing_and_how_it_was_made(biofm: Any) -> None:
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())
    outcome = biofm(*WORDS, "--json")
    found = json.loads(Path("output.json").read_text())
    assert found["spacing_mm"] == SPACING
    made_by = found["provenance"]
    assert made_by["program_sha256"] == torch_sum("program.pt2")
    assert made_by["input_sha256"] == torch_sum("input.npy")
    assert made_by["confined_by"] == ["landlock", "limits", "seccomp"]
    shown = json.loads(outcome.out)
    assert (shown["spacing_mm"], shown["provenance"], shown["shape"]) == (SPACING, made_by, list(SHAPE))


def torch_sum(name: str) -> str:
    from hashlib import sha256

    return sha256(Path(name).read_bytes()).hexdigest()


def test_the_spacing_may_lie_elsewhere() -> None:
    save_program(Count(), torch.zeros(3, 4, 5))
    save_array(some_array())
    Path("input.json").rename("elsewhere.json")
    summary = biofm.run_program("program.pt2", "input.npy", "output.npy", spacing="elsewhere.json")
    assert summary.spacing_mm == tuple(SPACING)


@pytest.mark.slow
def test_an_output_is_an_input_of_the_next_run() -> None:
    save_program(Count(), torch.zeros(3, 4, 5))
    save_array(some_array() * 9)
    biofm.run_program("program.pt2", "input.npy", "output.npy")
    save_program(Halve(), torch.zeros(3, 4, 5, dtype=torch.uint8), torch.ones(3, dtype=torch.float64))
    summary = biofm.run_program("program.pt2", "output.npy", "halved.npy")
    assert summary.spacing_mm == (1.4, 1.4, 2.5)
    assert summary.shape == (2, 3, 3)
    assert (np.load("halved.npy") == (some_array() * 9 > 3)[::2, ::2, ::2]).all()


@pytest.mark.slow
@pytest.mark.parametrize("order", ["F", ">"])
def test_another_order_of_elements_or_bytes_gives_the_same_numbers(order: str) -> None:
    array = some_array()
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(array)
    biofm.run_program("program.pt2", "input.npy", "plain.npy")
    save_array(np.asfortranarray(array) if order == "F" else array.astype(">f4"))
    biofm.run_program("program.pt2", "input.npy", "other.npy")
    assert Path("plain.npy").read_bytes() == Path("other.npy").read_bytes()


def test_a_planted_program_really_runs_code(tmp_path: Path) -> None:
    """Run it plainly, to see that the tests below refuse something."""
    plant(f"open({str(tmp_path / 'planted')!r}, 'w').close()")
    with pytest.raises(Exception, match=r".*"):
        torch.export.load("program.pt2")
    assert Path("planted").exists()


PLANTED = {
    "it writes a file": "open({folder!r} + '/planted', 'w')",
    "it starts a program": "import os; os.system('touch {folder}/planted') and os.fork()",
    "it replaces the input": "open({folder!r} + '/input.npy', 'r+b')",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_a_planted_program_tries_is_refused(what: str, tmp_path: Path, read_ledger: Any) -> None:
    plant(PLANTED[what].format(folder=str(tmp_path)))
    save_array(some_array())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RefusedError, match="the program tried something that its confinement refuses"):
        biofm.run_program("program.pt2", "input.npy", "output.npy")
    assert sorted(tmp_path.iterdir()) == before
    query = "SELECT verb, outcome, error FROM requests JOIN outcomes ON request = id"
    assert read_ledger(query) == [("run_program", "failed", "RefusedError")]


WRONG: dict[str, tuple[Callable[[], object], list[str]]] = {
    "not a program": (lambda: Path("program.pt2").write_text("text"), ["program.pt2", "no exported"]),
    "no program": (lambda: os.remove("program.pt2"), ["program.pt2", "no such file"]),
    "no spacing": (lambda: os.remove("input.json"), ["input.json", "no such file"]),
    "a spacing that is not a number": (
        lambda: save_array(some_array(), [0.7, 0.7, float("nan")]),
        ["input.json", "a positive number of millimetres, not nan"],
    ),
}
"""What is wrong, and what the message must say. ``tests/inference/test_worker.py`` has the others."""


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_no_file(what: str, biofm: Any, tmp_path: Path) -> None:
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())
    make, parts = WRONG[what]
    make()
    before = sorted(tmp_path.iterdir())
    biofm(*WORDS).check_refusal(parts)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("program.pt2", "input.npy", "-o", "out.csv"), ["out.csv", ".npy"]),
        (("program.pt2", "input.csv", "-o", "out.npy"), ["input.csv", ".npy"]),
        (("program.pt2", "input.npy", "-o", "input.npy", "--overwrite"), ["input.npy", "also an input"]),
        (("program.pt2", "input.npy", "-o", "old.npy"), ["old.npy", "already exists"]),
        (
            ("program.pt2", "input.npy", "-o", "x.npy", "--memory-limit", "1"),
            ["-limit", "at least 4"],
        ),
        (("program.pt2", "input.npy", "-o", "out.npy", "--time-limit", "0"), ["--time-limit", "at least 1"]),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(
    words: tuple[str, ...], parts: list[str], biofm: Any, tmp_path: Path
) -> None:
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())
    Path("old.npy").write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    biofm("run-program", *words).check_refusal(parts)
    assert sorted(tmp_path.iterdir()) == before
    assert Path("old.npy").read_bytes() == b"precious"


def test_a_program_that_needs_too_much_memory_is_one_clear_error() -> None:
    save_program(Fill(), torch.zeros(3, 4, 5))
    save_array(some_array())
    with pytest.raises(ProcessError, match=r"needs more memory than the 4\.0 GB"):
        biofm.run_program("program.pt2", "input.npy", "output.npy", memory_limit_gb=4)


def test_a_table_in_memory_is_no_input() -> None:
    with pytest.raises(InputError, match="this must be a path"):
        biofm.run_program("program.pt2", some_array(), "output.npy")  # type: ignore[arg-type]
