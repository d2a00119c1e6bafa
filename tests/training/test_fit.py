"""Training learns, and an interrupted run that is resumed equals the uninterrupted one to the last bit."""

import logging
import signal
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
import torch
from torch import Tensor

from biofm.core import ModelError, OptionError, OutputError
from biofm.core.progress import RunProgress
from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM, initialise
from biofm.training import PretrainRecipe
from biofm.training.folder import newest_step
from biofm.training.log import read_log

Train = Callable[..., dict[str, Tensor]]
MakeRecipe = Callable[..., PretrainRecipe]
DTYPES = [torch.float32, torch.bfloat16]


def signalling(number: signal.Signals, at_step: int) -> RunProgress:
    """Return a progress function in which the process gets a signal."""

    def report(stage: str, done: int, total: int, detail: str = "") -> None:
        if done == at_step:
            signal.raise_signal(number)

    return report


def rows_but_speed(folder: Path) -> list[dict[str, float]]:
    """Return the parts of each row of the log that do not depend on the machine."""
    measured = ("tokens_per_second", "mfu", "memory_bytes")
    rows = read_log(folder / "metrics.csv")
    return [{name: value for name, value in row.items() if name not in measured} for row in rows]


def are_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_small_data_set_is_learnt_by_heart(
    dtype: torch.dtype, train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    train(make_recipe(n_steps=50, log_every=10, learning_rate=0.03), tmp_path, dtype=dtype)
    losses = [row["loss"] for row in read_log(tmp_path / "metrics.csv")]
    assert losses[-1] < 0.5 * losses[0]


def test_bfloat16_keeps_the_weights_in_float32(train: Train, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    half, full = (
        train(make_recipe(n_steps=3), tmp_path / str(dtype), dtype=dtype)
        for dtype in (torch.bfloat16, torch.float32)
    )
    assert {weight.dtype for weight in half.values()} == {torch.float32}
    assert not are_equal(half, full)  # bfloat16 was really used
    assert all(weight.isfinite().all() for weight in half.values())


def test_the_table_has_a_row_every_few_steps(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, tokenizer: ProteinTokenizer
) -> None:
    train(make_recipe(learning_rate=0.01, n_steps=10), tmp_path)
    rows = read_log(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows] == [3, 6, 9]
    assert rows[0]["tokens"] < rows[1]["tokens"] < rows[2]["tokens"]
    assert all(3 < row["loss"] < 4 for row in rows)  # an untrained model's is ln(33), about 3.5
    assert all(row["tokens_per_second"] > 0 for row in rows)
    # Of 10 steps the first 2 are of warm-up, the last 3 of decay: they learn at 3/3, 2/3 and 1/3.
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.01, 0.01, 0.02 / 3], rel=1e-3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(
    number: signal.Signals, train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    """Step 4 is no multiple of ``log_every`` or ``checkpoint_every``."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    weights = train(make_recipe(), whole)

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as caught:
        train(make_recipe(), parts, signalling(number, at_step=4))
    if number == signal.SIGTERM:
        assert caught.value.args == (128 + signal.SIGTERM,)
    assert newest_step(parts / "checkpoints") == 4
    steps: list[int] = []
    resumed = train(make_recipe(), parts, lambda stage, done, total, detail="": steps.append(done))

    assert steps == [5, 6, 7, 8]
    assert are_equal(resumed, weights)
    assert rows_but_speed(parts) == rows_but_speed(whole)
    assert len(rows_but_speed(whole)) == 2


def test_a_run_that_died_in_a_step_resumes_from_the_last_checkpoint_to_the_bit(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    weights = train(make_recipe(log_every=1), whole)

    def die(stage: str, done: int, total: int, detail: str = "") -> None:
        if done == 5:
            raise EOFError

    with pytest.raises(EOFError):
        train(make_recipe(log_every=1), parts, die)
    assert newest_step(parts / "checkpoints") == 3
    assert [row["step"] for row in rows_but_speed(parts)] == [1, 2, 3, 4, 5]

    assert are_equal(train(make_recipe(log_every=1), parts), weights)
    assert rows_but_speed(parts) == rows_but_speed(whole)


def test_a_damaged_checkpoint_is_named(train: Train, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    train(make_recipe(n_steps=4), tmp_path)
    (last,) = (tmp_path / "checkpoints").iterdir()
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(OutputError) as caught:
        train(make_recipe(n_steps=5), tmp_path)
    assert str(caught.value) == (
        f"{last}: this checkpoint is damaged. "
        "Remove it: the run then resumes from an older checkpoint, or starts again without one"
    )


def test_a_run_whose_loss_is_no_number_ends_and_keeps_its_last_good_checkpoint(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofm.training.module.rate_factor", lambda recipe, step: 1.0 if step < 4 else nan)
    with pytest.raises(OptionError) as caught:
        train(make_recipe(n_steps=9, log_every=5, checkpoint_every=2), tmp_path)
    assert str(caught.value) == (
        "--learning-rate: the loss of step 6 is nan. "
        "Start again with a smaller learning rate, or with a longer warm-up"
    )
    assert newest_step(tmp_path / "checkpoints") == 4
    assert [row["step"] for row in read_log(tmp_path / "metrics.csv")] == [5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            nan,
            "training cannot begin with these weights: 1 of the 528 numbers of its tensor encoder",
        ),
        (3e38, "the loss of the first step is nan, before any weight was changed"),
    ],
)
def test_weights_that_were_at_fault_before_training_are_not_blamed_on_the_learning_rate(
    value: float, message: str, train: Train, make_recipe: MakeRecipe, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def damage(model: MaskedLM, seed: int) -> None:
        initialise(model, seed)
        weight = model.get_parameter("encoder.embedding.tokens.weight")
        torch.nn.init.constant_(weight[0, :1] if value != value else weight, value)

    monkeypatch.setattr("tests.training.conftest.initialise", damage)
    with pytest.raises(ModelError) as caught:
        train(make_recipe(n_steps=4, log_every=2), tmp_path)
    assert message in str(caught.value)


def test_a_second_interruption_does_not_wait(train: Train, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    def impatient(stage: str, done: int, total: int, detail: str = "") -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second signal was put off too")

    with pytest.raises(KeyboardInterrupt):
        train(make_recipe(), tmp_path, impatient)
    assert newest_step(tmp_path / "checkpoints") == 3


def test_the_callers_signal_handlers_and_logging_and_warnings_are_left_as_they_were(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    def state() -> list[object]:
        return [
            signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM),
            logging.getLogger("lightning.pytorch").level, list(warnings.filters),
        ]  # fmt: skip

    before = state()
    with pytest.raises(KeyboardInterrupt):
        train(make_recipe(), tmp_path, signalling(signal.SIGINT, at_step=1))
    assert state() == before


def test_a_finished_run_is_not_trained_again(train: Train, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    weights = train(make_recipe(), tmp_path)
    table = (tmp_path / "metrics.csv").read_bytes()

    def fail(stage: str, done: int, total: int, detail: str = "") -> None:
        pytest.fail("a step was made")

    assert are_equal(train(make_recipe(), tmp_path, fail), weights)
    assert (tmp_path / "metrics.csv").read_bytes() == table


def test_a_finished_run_goes_on_with_more_steps(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    short = make_recipe(n_steps=4)
    train(short, tmp_path)
    steps: list[int] = []
    train(replace(short, n_steps=9), tmp_path, lambda stage, done, total, detail="": steps.append(done))
    assert steps == [5, 6, 7, 8, 9]
    assert [row["step"] for row in read_log(tmp_path / "metrics.csv")] == [3, 6, 9]


def test_a_run_that_is_made_longer_is_the_long_one_where_it_has_not_decayed(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    whole = train(make_recipe(n_steps=9, decay_share=0.0), tmp_path / "whole")
    train(make_recipe(n_steps=4, decay_share=0.0), tmp_path / "parts")
    assert are_equal(train(make_recipe(n_steps=9, decay_share=0.0), tmp_path / "parts"), whole)
    assert rows_but_speed(tmp_path / "parts") == rows_but_speed(tmp_path / "whole")


def test_lightning_says_nothing(
    train: Train,
    make_recipe: MakeRecipe,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    train(make_recipe(n_steps=2), tmp_path)
    train(make_recipe(n_steps=4), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.messages == []


def test_activations_computed_again_change_no_bit(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    plain = train(make_recipe(n_steps=3), tmp_path / "plain")
    again = train(make_recipe(n_steps=3, activation_checkpointing=True), tmp_path / "again")
    assert are_equal(plain, again)


@pytest.mark.slow
@pytest.mark.usefixtures("_unchecked_shapes")
def test_compiled_blocks_have_the_same_losses(train: Train, make_recipe: MakeRecipe, tmp_path: Path) -> None:
    """They agree up to the order of sums, over steps with batches of many sizes."""
    for compiles in (False, True):
        train(make_recipe(n_steps=6, log_every=1, compile=compiles), tmp_path / str(compiles))
    plain, compiled = (read_log(tmp_path / name / "metrics.csv") for name in ("False", "True"))
    assert len({row["tokens"] for row in plain}) == 6
    for one, other in zip(plain, compiled, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)


def test_without_a_compiler_asking_for_it_is_refused(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_none() -> str:
        raise RuntimeError("no working C++ compiler found")

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", find_none)
    with pytest.raises(OptionError) as caught:
        train(make_recipe(compile=True), tmp_path)
    assert str(caught.value) == (
        "--set compile: there is no C++ compiler on this machine. Install it, or leave compile = true out"
    )
