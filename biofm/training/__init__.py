"""Training on Lightning."""

from biofm.training.crew import Crew, Told, meet
from biofm.training.folder import DATA, begin_run, remember
from biofm.training.processes import is_main_process
from biofm.training.recipe import PretrainRecipe, Recipe
from biofm.training.run import PretrainSummary, check_model, run_pretraining

__all__ = [
    "DATA",
    "Crew",
    "PretrainRecipe",
    "PretrainSummary",
    "Recipe",
    "Told",
    "begin_run",
    "check_model",
    "is_main_process",
    "meet",
    "remember",
    "run_pretraining",
]
