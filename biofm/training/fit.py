"""The trainer: from weights and batches to trained weights, checkpoints and a log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from biofm.inference import Compute
from biofm.nn import MaskedLM
from biofm.training.callbacks import MetricsLog
from biofm.training.data import PackedData
from biofm.training.module import MaskedLMTraining
from biofm.training.recipe import Recipe

LAST_CHECKPOINT = "last.ckpt"
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}

Progress = Callable[[str, int, int], None]
"""Called with a stage, the work done and all the work of that stage."""


def fit(
    model: MaskedLM, data: PackedData, recipe: Recipe, compute: Compute, folder: Path, progress: Progress
) -> None:
    """Train ``model`` in place.

    A ``last.ckpt`` in ``folder`` is resumed: same batches, same masks, same optimiser state.

    The weights stay in float32; in bfloat16 the products alone are computed.
    """
    seed_everything(recipe.seed, verbose=False)
    checkpoints = ModelCheckpoint(
        folder,
        filename=Path(LAST_CHECKPOINT).stem,
        every_n_train_steps=recipe.checkpoint_every,
        save_on_exception=True,
        enable_version_counter=False,
    )
    trainer = Trainer(
        max_steps=recipe.n_steps,
        accelerator=ACCELERATORS[compute.device.type],
        devices=1,
        precision="bf16-mixed" if compute.dtype is torch.bfloat16 else "32-true",
        gradient_clip_val=1.0,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=[
            checkpoints,
            MetricsLog(folder / "metrics.csv", recipe.log_every),
            _Report(recipe, progress),
        ],
        default_root_dir=folder,
    )
    last = folder / LAST_CHECKPOINT
    module = MaskedLMTraining(model.float().requires_grad_().train(), recipe)
    trainer.fit(module, data, ckpt_path=last if last.exists() else None, weights_only=True)
    trainer.save_checkpoint(last)


class _Report(Callback):
    """Passes the steps on to whoever shows them."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe = recipe
        self.progress = progress

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.progress("training", trainer.global_step, self.recipe.n_steps)
