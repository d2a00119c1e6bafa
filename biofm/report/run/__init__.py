"""Reports of runs: HTML pages that show results beside baselines, curves, data, and how a run was made."""

from biofm.report.run.contents import Cell, Contender, Measure, Pairs, Picture, Results, RunReport, Table
from biofm.report.run.page import write_report
from biofm.report.run.standing import Standing, say_who_is_best

__all__ = [
    "Cell",
    "Contender",
    "Measure",
    "Pairs",
    "Picture",
    "Results",
    "RunReport",
    "Standing",
    "Table",
    "say_who_is_best",
    "write_report",
]
