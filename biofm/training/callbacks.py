"""What a run writes down while it trains."""

import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from biofm.training.metrics import append_metrics, keep_metrics


class MetricsLog(Callback):
    """Appends a row to ``metrics.csv`` every ``every`` steps: means over those steps, tokens since the start
    of the run.

    A resumed run drops the rows that the interrupted one wrote after its last checkpoint, then goes on in the
    same file.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self.every = every
        self.tokens = 0
        self._losses: list[float] = []
        self._since = (0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "losses": self._losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens = state["tokens"]
        self._losses = list(state.get("losses", ()))

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        keep_metrics(self.path, trainer.global_step)
        self._since = (self.tokens, time.monotonic())

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.tokens += outputs["n_tokens"]
        self._losses.append(float(outputs["loss"]))
        if trainer.global_step % self.every == 0:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        tokens, began = self._since
        now = time.monotonic()
        row = {
            "step": trainer.global_step,
            "tokens": self.tokens,
            "loss": f"{sum(self._losses) / len(self._losses):.5f}",
            "learning_rate": f"{trainer.optimizers[0].param_groups[0]['lr']:.3e}",
            "tokens_per_second": round((self.tokens - tokens) / (now - began)),
        }
        append_metrics(self.path, row)
        self._losses.clear()
        self._since = (self.tokens, now)
