"""Reports of runs: each run writes a page with its results, its curves and its data."""

from biofm.training.reporting.data import describe_data, picture_data
from biofm.training.reporting.pretraining import report_of_pretraining, say_which_perplexity_is_better
from biofm.training.reporting.run import (
    Rows,
    curves_of,
    environment_of,
    join_names,
    now,
    training_seconds,
    write_run_report,
)

__all__ = [
    "Rows",
    "curves_of",
    "describe_data",
    "environment_of",
    "join_names",
    "now",
    "picture_data",
    "report_of_pretraining",
    "say_which_perplexity_is_better",
    "training_seconds",
    "write_run_report",
]
