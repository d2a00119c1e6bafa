"""The recipes of the models that biofm trains and ships."""

from biofm.core.errors import OptionError
from biofm.training.crew import main_speaks
from biofm.training.recipe import PretrainRecipe

N_STEPS = 5000


def protein_nano() -> PretrainRecipe:
    """Of ``protein-nano``: 1.2 M weights, 20 M tokens of UniRef90 and of UniProt and GenBank.

    docs/log.md has what was tried beside it: AdamW, other learning rates and batches, 15 % masked.
    """
    return PretrainRecipe(
        n_steps=N_STEPS,
        tokens_per_batch=4096,
        max_length=512,
        masked_share=0.25,
        optimizer="muon",
        learning_rate=4e-3,
        weight_decay=0.1,
        schedule="wsd",
        n_warmup=100,
        decay_share=0.3,
        seed=0,
        n_held_out=500,
    )


RECIPES = {"protein-nano": protein_nano}


@main_speaks()
def find_recipe(name: str) -> PretrainRecipe:
    """By the name of the model. Raises OptionError: biofm ships no recipe of that name."""
    if name not in RECIPES:
        remedy = f"Give {' or '.join(RECIPES)}, or a recipe.toml as --config"
        raise OptionError(f"no such recipe: {name}", where="--recipe", remedy=remedy)
    return RECIPES[name]()
