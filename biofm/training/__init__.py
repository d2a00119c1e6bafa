"""Training on Lightning."""

from biofm.training.recipe import PretrainRecipe, Recipe

__all__ = ["PretrainRecipe", "Recipe"]
