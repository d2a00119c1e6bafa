"""Weights & Biases, an optional log: whether it can be used, which hosts it contacts, and its logger."""

import os
import secrets
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from biofm.core.errors import MissingExtraError, OptionError, how_to_install
from biofm.gate import hosts_of_server
from biofm.policy.hosts import HostError, parse_url
from biofm.training.recipe import Recipe

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

WANDB_URL = "https://api.wandb.ai"
OFFLINE = ("disabled", "dryrun", "offline")


def check_wandb(recipe: Recipe) -> None:
    """Check that a run by this recipe can log to Weights & Biases, if the recipe asks for it.

    Raises:
        MissingExtraError: Weights & Biases is not installed.
    """
    if not recipe.wandb:
        return
    if find_spec("wandb") is None:
        remedy = how_to_install("train-extras")
        raise MissingExtraError("Weights & Biases is not installed", where="--set wandb", remedy=remedy)


def hosts_of(verb: str, recipe: Recipe) -> tuple[str, ...]:
    """Return the hosts that a run contacts.

    They are Weights & Biases, or the host in WANDB_BASE_URL, if the recipe names a project there, and the
    file store that the policy lists beside it; none if WANDB_MODE keeps the log on this machine.

    Args:
        verb: The verb whose run it is.
        recipe: The recipe of the run.

    Raises:
        OptionError: WANDB_BASE_URL is no address, or not in its only spelling.
    """
    if not recipe.wandb or _is_offline():
        return ()
    try:
        host = parse_url(_server()).host
    except HostError as error:
        remedy = (
            "Correct the variable; or set WANDB_MODE=offline, and send the log yourself with `wandb sync`"
        )
        raise OptionError(str(error), where="WANDB_BASE_URL", remedy=remedy) from error
    return hosts_of_server(verb, host)


def wandb_logger(recipe: Recipe, folder: Path) -> "Logger":
    """Start or resume the run at Weights & Biases, and return its logger.

    Raises:
        OptionError: Weights & Biases refuses the run, for example without a key.
    """
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # error reports go to hosts that the gate was not asked for
    from lightning.pytorch.loggers import WandbLogger  # optional
    from wandb import Settings
    from wandb.errors import Error

    # The terminal shows only biofm's progress and errors. The gate was asked for this server.
    settings = Settings(silent=True, base_url=_server())
    logger = WandbLogger(
        project=recipe.wandb,
        save_dir=folder,
        version=_run_id(folder),
        resume="allow",
        config=asdict(recipe),
        settings=settings,
    )
    try:
        _ = logger.experiment  # this starts the run at Weights & Biases
    except Error as error:
        what = f"Weights & Biases cannot be used ({str(error).partition(chr(10))[0].rstrip('.')})"
        remedy = "Log in with `wandb login`, or set WANDB_MODE=offline; then repeat the command with --resume"
        raise OptionError(what, where="--set wandb", remedy=remedy) from error
    return logger


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL", "") or WANDB_URL


def _is_offline() -> bool:
    return os.environ.get("WANDB_MODE", "") in OFFLINE


def _run_id(folder: Path) -> str:
    """Return the run's name at Weights & Biases, which a file keeps for when the run is resumed."""
    file = folder / "wandb" / "run-id"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        file.write_text(secrets.token_hex(4))
    return file.read_text()
