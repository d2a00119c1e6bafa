"""The trainer: from weights and batches to trained weights, checkpoints and a log."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from biofm.inference import Compute
from biofm.nn import MaskedLM
from biofm.training.callbacks import MetricsLog
from biofm.training.data import PackedData
from biofm.training.interruption import Interruption
from biofm.training.module import MaskedLMTraining
from biofm.training.progress import Progress
from biofm.training.recipe import Recipe

LAST_CHECKPOINT = "last.ckpt"
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def fit(
    model: MaskedLM, data: PackedData, recipe: Recipe, compute: Compute, folder: Path, progress: Progress
) -> None:
    """Train ``model`` in place.

    A ``last.ckpt`` in ``folder`` is resumed: same batches, same masks, same optimiser state. It is saved
    between steps alone, never amid one, so that a resumed run is the uninterrupted one to the last bit.

    The weights stay in float32; in bfloat16 the products alone are computed.

    Raises KeyboardInterrupt or SystemExit at the end of the step in which SIGINT or SIGTERM came.
    """
    last = folder / LAST_CHECKPOINT
    module = MaskedLMTraining(model.float().requires_grad_().train(), recipe)
    interruption = Interruption()
    with interruption.deferred(), _silence():
        seed_everything(recipe.seed, verbose=False)
        callbacks = [
            ModelCheckpoint(
                folder,
                filename=last.stem,
                every_n_train_steps=recipe.checkpoint_every,
                enable_version_counter=False,
            ),
            MetricsLog(folder / "metrics.csv", recipe.log_every),
            _Report(recipe, progress),
            interruption,
        ]
        trainer = _trainer(recipe, compute, folder, callbacks)
        trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
        trainer.save_checkpoint(last, weights_only=False)


def _trainer(recipe: Recipe, compute: Compute, folder: Path, callbacks: list[Callback]) -> Trainer:
    device = compute.device
    has_number = device.type == "cuda" and device.index is not None
    return Trainer(
        max_steps=recipe.n_steps,
        accelerator=ACCELERATORS[device.type],
        devices=[device.index] if has_number else 1,
        precision="bf16-mixed" if compute.dtype is torch.bfloat16 else "32-true",
        gradient_clip_val=1.0,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=callbacks,
        default_root_dir=folder,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning's banner, tips and warnings off the terminal, which is for our progress and errors.

    The warnings are about choices made here (no workers, a folder with files in it) or about code of its own.
    """
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Report(Callback):
    """Passes the steps on to whoever shows them."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe = recipe
        self.progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.progress("training", trainer.global_step, self.recipe.n_steps)
