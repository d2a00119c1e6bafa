"""A report in the folder of its run."""

from pathlib import Path

from biofm.report import draw_curves
from biofm.report.run import RunReport, write_report
from biofm.training.files import written_whole

REPORT = "report.html"


def write_run_report(report: RunReport, folder: Path) -> None:
    """``report.html``, and a PNG for each of its curves: ``loss.png``, ``learning_rate.png``, ..."""
    for curves in report.curves:
        with written_whole(folder / f"{curves.title.lower().replace(' ', '_')}.png") as file:
            draw_curves(curves, file, ".png")
    with written_whole(folder / REPORT) as file:
        write_report(report, file)
