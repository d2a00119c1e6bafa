"""Fixtures of all objectives: batches, a small model, and training on one batch until it is learned."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Cursor
from torch import Tensor, nn

from biofm.modalities import ProteinTokenizer
from biofm.nn import Encoder, EncoderConfig, MaskedLM, PackedBatch, pack
from biofm.training import PretrainRecipe
from biofm.training.objectives import Example, Labelled, Objective
from biofm.training.optimizers import make_optimizer

BatchOf = Callable[[Sequence[str]], PackedBatch]
Label = Callable[..., Example]
Overfit = Callable[[nn.Module, Objective, Example], float]

CONFIG = EncoderConfig(
    vocab_size=33, d_model=32, n_layers=2, n_heads=2, d_feedforward=48, trained_length=64, norm_bias=False,
    linear_bias=False, feedforward="swiglu", qk_norm=True,
)  # fmt: skip


class Fixed(nn.Module):
    """Returns given outputs, so that a loss can be computed by hand."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, batch: PackedBatch) -> Tensor:
        return self.outputs


class Small(nn.Module):
    """Joins an encoder and a linear head over each token, or over the mean of each sequence."""

    def __init__(self, n_outputs: int, *, per_residue: bool) -> None:
        super().__init__()
        masked_lm = MaskedLM(CONFIG)
        self.encoder: Encoder = masked_lm.encoder
        self.head = nn.Linear(CONFIG.d_model, n_outputs)
        self.per_residue = per_residue

    def forward(self, batch: PackedBatch) -> Tensor:
        hidden: Tensor = self.encoder(batch)
        if not self.per_residue:
            hidden = torch.stack([one.mean(0) for one in hidden.split(batch.lengths.tolist())])
        outputs: Tensor = self.head(hidden)
        return outputs


@pytest.fixture
def fixed() -> Callable[[Tensor], nn.Module]:
    return Fixed


@pytest.fixture
def small() -> Callable[..., nn.Module]:
    return Small


@pytest.fixture
def batch_of(tokenizer: ProteinTokenizer) -> BatchOf:
    return lambda proteins: pack([torch.from_numpy(tokenizer.encode(one)).long() for one in proteins])


@pytest.fixture
def label() -> Label:
    """Label a batch of the members 0, 1, ..., which are whole unless their starts are given."""

    def make(
        objective: Objective,
        batch: PackedBatch,
        seed: int = 0,
        members: Sequence[int] = (),
        starts: Sequence[int] = (),
    ) -> Example:
        numbers = np.array(members or range(batch.n_sequences))
        labelled = objective.label(
            batch, numbers, np.array(starts or [0] * len(numbers)), np.random.default_rng(seed)
        )
        assert isinstance(labelled, Labelled)
        return Example(*labelled, labelled.n_judged, Cursor(0, 0))

    return make


@pytest.fixture
def overfit(make_recipe: Callable[..., PretrainRecipe]) -> Overfit:
    """Return the loss on one example after some dozens of steps on it alone."""

    def train(model: nn.Module, objective: Objective, example: Example) -> float:
        optimizer = make_optimizer(model, make_recipe(learning_rate=0.03, weight_decay=0.0))
        for _ in range(60):  # on some versions of torch 50 leave 0.051 where 0.05 is asked
            loss = objective.loss(model, example)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return float(objective.loss(model, example).detach())

    return train
