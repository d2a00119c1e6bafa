"""Training: exports the recipes, which say how a pretraining or a fine-tuning runs.

They are all that it exports: Lightning, on which training runs, takes seconds to import.
"""

from biofm.training.recipe import FinetuneRecipe, PretrainRecipe, Recipe, find_recipe, protein_nano

__all__ = ["FinetuneRecipe", "PretrainRecipe", "Recipe", "find_recipe", "protein_nano"]
