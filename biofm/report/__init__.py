"""Pictures of results."""

from biofm.report.contacts import draw_contacts
from biofm.report.figure import check_figure_suffix
from biofm.report.loss_curve import draw_loss_curve
from biofm.report.neighbours import draw_neighbours
from biofm.report.scan import draw_scan

__all__ = [
    "check_figure_suffix",
    "draw_contacts",
    "draw_loss_curve",
    "draw_neighbours",
    "draw_scan",
]
