"""Training on Lightning."""

from biofm.training.recipe import PretrainRecipe, Recipe
from biofm.training.run import PretrainSummary, run_pretraining

__all__ = ["PretrainRecipe", "PretrainSummary", "Recipe", "run_pretraining"]
