"""What a run writes down while it trains."""

import csv
import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

COLUMNS = ("step", "tokens", "loss", "learning_rate", "tokens_per_second")


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
        return {"tokens": self.tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens = state["tokens"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        rows = read_metrics(self.path) if self.path.exists() and trainer.global_step else []
        with self.path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(row for row in rows if row["step"] <= trainer.global_step)
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
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        self._losses.clear()
        self._since = (self.tokens, now)


def read_metrics(path: Path) -> list[dict[str, float]]:
    """The rows of a ``metrics.csv``, numbers as numbers."""
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
