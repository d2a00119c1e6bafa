"""What a report leaves in the folder of its run."""

from pathlib import Path

from biofm.core.environment import find_environment
from biofm.report.run import RunReport
from biofm.training.reporting import curves_of, write_run_report

ROWS = [{"step": float(n), "tokens": 10.0 * n, "loss": 3.0, "learning_rate": 1e-3} for n in (1, 2)]


def report(title: str) -> RunReport:
    environment = find_environment(threads=1, gpus=(), device="cpu", dtype="float32")
    return RunReport(
        title=title,
        kind="pretraining",
        summary="",
        environment=environment,
        curves=curves_of(ROWS, "nats", {}),
    )


def test_a_run_is_left_with_its_page_and_a_picture_of_each_curve(tmp_path: Path) -> None:
    write_run_report(report("one"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "loss.png", "learning_rate.png"}
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_resumed_run_replaces_its_report(tmp_path: Path) -> None:
    write_run_report(report("one"), tmp_path)
    write_run_report(report("two"), tmp_path)
    assert "<h1>two</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 3
