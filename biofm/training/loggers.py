"""Where the rows of a run go besides ``metrics.csv``."""

import secrets
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from biofm.core.errors import MissingExtraError
from biofm.training.recipe import Recipe


def make_loggers(recipe: Recipe, folder: Path, first_step: int) -> list[Logger]:
    """TensorBoard, into ``folder/tensorboard``; Weights & Biases only where the recipe names a project there.

    ``first_step``: what an interrupted run logged from there on is made void.

    Raises MissingExtraError where W&B is asked for and not installed.
    """
    loggers: list[Logger] = [TensorBoardLogger(folder, name="tensorboard", version="", purge_step=first_step)]
    if recipe.wandb:
        if find_spec("wandb") is None:
            remedy = "Install it with: pip install 'biofm[train-extras]'"
            raise MissingExtraError("Weights & Biases is not installed", where="--set wandb", remedy=remedy)
        loggers.append(WandbLogger(project=recipe.wandb, save_dir=folder, version=_run_id(folder)))
    return loggers


def _run_id(folder: Path) -> str:
    """The run's name at W&B, kept so that a resumed run goes on there too."""
    file = folder / "wandb" / "run-id"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(secrets.token_hex(4))
    return file.read_text()
