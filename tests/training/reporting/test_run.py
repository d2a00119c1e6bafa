"""The curves of a log, and the files that a report leaves in the folder of its run."""

from dataclasses import replace
from pathlib import Path

import pytest

from biofm.core.environment import find_environment
from biofm.report.run import RunReport
from biofm.training.reporting import curves_of, training_seconds, write_run_report

ROWS = [
    {
        "step": 10.0, "tokens": 1000.0, "loss": 3.0, "learning_rate": 1e-3, "tokens_per_second": 100.0,
        "mfu": 0.4,
    },
    {
        "step": 20.0, "tokens": 2000.0, "loss": 2.8, "learning_rate": 2e-3, "tokens_per_second": 200.0,
        "mfu": 0.5, "validation_loss": 2.9, "memory_bytes": 2e9,
    },
]  # fmt: skip


def test_every_measured_column_becomes_a_curve_over_the_steps() -> None:
    curves = {it.title: it for it in curves_of(ROWS, "nats", {"unigram": 2.87})}
    assert list(curves) == ["Loss", "Learning rate", "Speed", "Use of the machine", "Memory"]
    training, validation = curves["Loss"].series
    assert (training.x, training.y) == ([10, 20], [3.0, 2.8])
    assert (validation.x, validation.y) == ([20], [2.9])
    assert (curves["Loss"].y_label, curves["Loss"].levels) == ("loss (nats)", {"unigram": 2.87})
    assert curves["Use of the machine"].series[0].y == [40, 50]
    assert curves["Memory"].series[0].y == [2.0]


def test_what_was_never_measured_has_no_curve() -> None:
    bare = [{"step": 1.0, "tokens": 5.0, "loss": 3.0}]
    assert [it.title for it in curves_of(bare, "nats", {})] == ["Loss"]
    assert [series.name for series in curves_of(bare, "nats", {})[0].series] == ["training"]
    assert curves_of([], "nats", {"unigram": 2.87}) == ()


def test_the_time_of_training_is_that_of_its_tokens() -> None:
    assert training_seconds(ROWS) == pytest.approx(1000 / 100 + 1000 / 200)
    assert training_seconds([]) == 0
    assert training_seconds([{"step": 1, "tokens": 5}, {"step": 2, "tokens": 9, "tokens_per_second": 2}]) == 2


THREE_ROWS = [{"step": float(n), "tokens": 10.0 * n, "loss": 3.0, "learning_rate": 1e-3} for n in (1, 2, 3)]


def report(title: str) -> RunReport:
    environment = find_environment(threads=1, gpus=(), device="cpu", dtype="float32")
    return RunReport(
        title=title,
        kind="pretraining",
        summary="",
        environment=environment,
        curves=curves_of(THREE_ROWS, "nats", {}),
    )


def test_a_run_is_left_with_its_page_and_a_picture_of_each_curve(tmp_path: Path) -> None:
    write_run_report(report("one"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "loss.png", "learning_rate.png"}
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_of_two_points_has_no_picture(tmp_path: Path) -> None:
    write_run_report(replace(report("one"), curves=curves_of(THREE_ROWS[:2], "nats", {})), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_resumed_run_replaces_its_report(tmp_path: Path) -> None:
    write_run_report(report("one"), tmp_path)
    write_run_report(report("two"), tmp_path)
    assert "<h1>two</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 3
