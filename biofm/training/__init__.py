"""Training on Lightning."""

from biofm.training.crew import Told, leave_to_main, meet
from biofm.training.extras import hosts_of
from biofm.training.folder import DATA, begin_run, remember
from biofm.training.lock import hold_run
from biofm.training.processes import is_main_process
from biofm.training.recipe import PretrainRecipe, Recipe
from biofm.training.recipes import find_recipe, protein_nano
from biofm.training.run import PretrainSummary, check_model, check_store, objective_of, run_pretraining

__all__ = [
    "DATA",
    "PretrainRecipe",
    "PretrainSummary",
    "Recipe",
    "Told",
    "begin_run",
    "check_model",
    "check_store",
    "find_recipe",
    "hold_run",
    "hosts_of",
    "is_main_process",
    "leave_to_main",
    "meet",
    "objective_of",
    "protein_nano",
    "remember",
    "run_pretraining",
]
