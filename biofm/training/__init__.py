"""Training on Lightning."""

from biofm.training.recipe import Recipe
from biofm.training.run import PretrainSummary, run_pretraining

__all__ = ["PretrainSummary", "Recipe", "run_pretraining"]
