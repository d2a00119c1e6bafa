"""Pictures of results: functions that draw figures and write them as PNG, SVG or PDF."""

from biofm.report.confusion import draw_confusion
from biofm.report.contacts import draw_contacts
from biofm.report.curves import Curves, Series, draw_curves
from biofm.report.data import draw_dataset
from biofm.report.figure import check_figure_suffix
from biofm.report.neighbours import MOST_DRAWN, draw_neighbours
from biofm.report.scan import draw_scan
from biofm.report.scatter import ScatterPanel, draw_scatter

__all__ = [
    "MOST_DRAWN",
    "Curves",
    "ScatterPanel",
    "Series",
    "check_figure_suffix",
    "draw_confusion",
    "draw_contacts",
    "draw_curves",
    "draw_dataset",
    "draw_neighbours",
    "draw_scan",
    "draw_scatter",
]
