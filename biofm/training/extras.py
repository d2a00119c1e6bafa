"""Optional parts that a recipe may ask for."""

from importlib.util import find_spec

from biofm.core.errors import MissingExtraError
from biofm.training.recipe import Recipe


def check_extras(recipe: Recipe) -> None:
    """Raise MissingExtraError where the recipe asks for Weights & Biases and it is not installed."""
    if recipe.wandb and find_spec("wandb") is None:
        remedy = "Install it with: pip install 'biofm[train-extras]'"
        raise MissingExtraError("Weights & Biases is not installed", where="--set wandb", remedy=remedy)
