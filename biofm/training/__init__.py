"""Training on Lightning. The recipes stand here, and nothing heavy: verbs are declared with them."""

from biofm.training.recipe import FinetuneRecipe, PretrainRecipe, Recipe, find_recipe, protein_nano

__all__ = ["FinetuneRecipe", "PretrainRecipe", "Recipe", "find_recipe", "protein_nano"]
