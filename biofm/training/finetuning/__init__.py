"""Fine-tuning: a model taught by a table, judged beside baselines."""

from biofm.training.finetuning.estimate import FinetuneEstimate, estimate_finetuning
from biofm.training.finetuning.run import Base, Source, run_finetuning
from biofm.training.finetuning.summary import FinetuneSummary

__all__ = [
    "Base",
    "FinetuneEstimate",
    "FinetuneSummary",
    "Source",
    "estimate_finetuning",
    "run_finetuning",
]
