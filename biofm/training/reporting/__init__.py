"""What a run reports at its end."""

from biofm.training.reporting.curves import Rows, curves_of, training_seconds
from biofm.training.reporting.data import describe_data, picture_data
from biofm.training.reporting.pretraining import report_of_pretraining
from biofm.training.reporting.words import join_names, now
from biofm.training.reporting.write import write_run_report

__all__ = [
    "Rows",
    "curves_of",
    "describe_data",
    "join_names",
    "now",
    "picture_data",
    "report_of_pretraining",
    "training_seconds",
    "write_run_report",
]
