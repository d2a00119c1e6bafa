"""Reports of runs: HTML pages that show results beside baselines, curves, data, and how a run was made."""

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
