"""Weights & Biases, an optional part that a recipe may ask for: whether it is there, and whom it contacts."""

import os
from importlib.util import find_spec
from urllib.parse import urlsplit

from biofm.core.errors import MissingExtraError, OptionError
from biofm.policy import WEIGHTS_AND_BIASES
from biofm.training.recipe import Recipe

WANDB_URL = f"https://{WEIGHTS_AND_BIASES[0]}"
OFFLINE = ("disabled", "dryrun", "offline")


def check_extras(recipe: Recipe) -> None:
    """Raise MissingExtraError where the recipe asks for Weights & Biases and it is not installed, and
    OptionError where the environment names a server that the gate would not know of.
    """
    if not recipe.wandb:
        return
    if find_spec("wandb") is None:
        remedy = "Install it with: pip install 'biofm[train-extras]'"
        raise MissingExtraError("Weights & Biases is not installed", where="--set wandb", remedy=remedy)
    host = urlsplit(os.environ.get("WANDB_BASE_URL", WANDB_URL)).hostname
    if not _is_offline() and host not in WEIGHTS_AND_BIASES:
        what = f"WANDB_BASE_URL names {host}, and a run's log is sent to {WEIGHTS_AND_BIASES[0]} alone"
        remedy = "Unset it; or set WANDB_MODE=offline, and send the run yourself with `wandb sync`"
        raise OptionError(what, where="--set wandb", remedy=remedy)


def hosts_of(recipe: Recipe) -> tuple[str, ...]:
    """Whom a run contacts: W&B if the recipe names a project there, unless WANDB_MODE keeps it here."""
    return WEIGHTS_AND_BIASES if recipe.wandb and not _is_offline() else ()


def _is_offline() -> bool:
    return os.environ.get("WANDB_MODE", "") in OFFLINE
