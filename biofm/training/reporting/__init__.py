"""What a run reports at its end."""

from biofm.training.reporting.curves import curves_of, training_seconds
from biofm.training.reporting.data import describe_data
from biofm.training.reporting.pretraining import report_of_pretraining
from biofm.training.reporting.write import write_run_report

__all__ = ["curves_of", "describe_data", "report_of_pretraining", "training_seconds", "write_run_report"]
