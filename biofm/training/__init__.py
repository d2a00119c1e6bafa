"""Training on Lightning."""

from biofm.training.folder import DATA, begin_run, remember
from biofm.training.processes import find_processes
from biofm.training.recipe import PretrainRecipe, Recipe
from biofm.training.run import PretrainSummary, check_model, run_pretraining

__all__ = [
    "DATA",
    "PretrainRecipe",
    "PretrainSummary",
    "Recipe",
    "begin_run",
    "check_model",
    "find_processes",
    "remember",
    "run_pretraining",
]
