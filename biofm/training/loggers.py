"""Where the rows of a run go besides ``metrics.csv``."""

import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from biofm.core.errors import OptionError
from biofm.training.extras import WANDB_URL, check_extras
from biofm.training.recipe import Recipe


def make_loggers(recipe: Recipe, folder: Path, first_step: int) -> list[Logger]:
    """TensorBoard, into ``folder/tensorboard``; Weights & Biases only where the recipe names a project there.

    ``first_step``: the next one; what an interrupted run logged from there on is made void.

    Raises MissingExtraError where W&B is asked for and not installed, OptionError where it lets no run begin,
    as without a key.
    """
    check_extras(recipe)
    tensorboard = TensorBoardLogger(
        folder, name="tensorboard", version="", default_hp_metric=False, purge_step=first_step
    )
    return [tensorboard, *([_weights_and_biases(recipe, folder)] if recipe.wandb else [])]


def close_loggers(loggers: Iterable[Logger]) -> None:
    """End what would else go on until the process ends, and take in the next run of it."""
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.experiment.finish()  # type: ignore[attr-defined]  # typed by none of Lightning's loggers


def _weights_and_biases(recipe: Recipe, folder: Path) -> Logger:
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # which would contact others than those that were named
    from lightning.pytorch.loggers import WandbLogger  # optional
    from wandb import Settings
    from wandb.errors import Error

    # The terminal is for our progress and errors. The server is the one that stood in the request.
    settings = Settings(silent=True, base_url=WANDB_URL)
    logger = WandbLogger(
        project=recipe.wandb,
        save_dir=folder,
        version=_run_id(folder),
        resume="allow",
        config=asdict(recipe),
        settings=settings,
    )
    try:
        _ = logger.experiment  # here the run begins there
    except Error as error:
        what = f"Weights & Biases cannot be used ({str(error).partition(chr(10))[0].rstrip('.')})"
        remedy = "Log in with `wandb login`, or set WANDB_MODE=offline; then repeat the command with --resume"
        raise OptionError(what, where="--set wandb", remedy=remedy) from error
    return logger


def _run_id(folder: Path) -> str:
    """The run's name at W&B, kept so that a resumed run goes on there too."""
    file = folder / "wandb" / "run-id"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(secrets.token_hex(4))
    return file.read_text()
