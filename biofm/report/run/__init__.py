"""The report of a run: its results beside baselines, its curves, its data, and how it was made."""

from biofm.report.run.contents import Cell, Contender, Measure, Pairs, Picture, Results, RunReport, Table
from biofm.report.run.page import write_report

__all__ = [
    "Cell",
    "Contender",
    "Measure",
    "Pairs",
    "Picture",
    "Results",
    "RunReport",
    "Table",
    "write_report",
]
