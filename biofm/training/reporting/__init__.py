"""What a run reports at its end."""

from biofm.training.reporting.curves import curves_of, training_seconds
from biofm.training.reporting.write import write_run_report

__all__ = ["curves_of", "training_seconds", "write_run_report"]
