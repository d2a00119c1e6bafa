"""The one LightningModule: a masked-language model, its loss and its optimiser."""

from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from biofm.nn import MaskedLM
from biofm.training.muon import Muon
from biofm.training.objective import MaskedBatch, masked_lm_loss
from biofm.training.recipe import Recipe
from biofm.training.schedule import warmup_stable_decay


class MaskedLMTraining(LightningModule):
    """Trains ``model`` with Muon on the matrices of its blocks and AdamW on the rest."""

    def __init__(self, model: MaskedLM, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe

    def training_step(self, example: MaskedBatch, step: int) -> dict[str, Any]:
        loss = masked_lm_loss(self.model, example)
        return {"loss": loss, "n_tokens": len(example.batch.tokens)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        linear = [part for part in self.model.encoder.blocks.modules() if isinstance(part, nn.Linear)]
        is_matrix = {id(part.weight) for part in linear}
        weights = list(self.model.parameters())
        optimizer = Muon(
            [weight for weight in weights if id(weight) in is_matrix],
            [weight for weight in weights if id(weight) not in is_matrix],
            lr=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
        )
        schedule = LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        return warmup_stable_decay(step, n_steps=self.recipe.n_steps, n_warmup=self.recipe.n_warmup)
