"""Training: it runs on Lightning, which takes seconds to import, so this module exports only the recipes."""

from biofm.training.recipe import FinetuneRecipe, PretrainRecipe, Recipe, find_recipe, protein_nano

__all__ = ["FinetuneRecipe", "PretrainRecipe", "Recipe", "find_recipe", "protein_nano"]
