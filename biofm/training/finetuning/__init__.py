"""Fine-tuning: a model learns the targets of a table, and its predictions are compared with baselines."""

from biofm.training.finetuning.estimate import FinetuneEstimate, estimate_finetuning
from biofm.training.finetuning.members import members_before
from biofm.training.finetuning.results import FinetuneSummary
from biofm.training.finetuning.run import Base, Source, run_finetuning

__all__ = [
    "Base",
    "FinetuneEstimate",
    "FinetuneSummary",
    "Source",
    "estimate_finetuning",
    "members_before",
    "run_finetuning",
]
