"""A step is the mean over its examples, however they are batched, and it is told of when it is over."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture, fill_bins
from biofm_datasets.store import TokenStore
from torch import Tensor

from biofm.inference import Compute
from biofm.nn import MaskedLM, SequencePredictor, initialise_head
from biofm.tokenizers import ProteinTokenizer
from biofm.training import PretrainRecipe
from biofm.training.data import PackedData
from biofm.training.fit import fit
from biofm.training.metrics import read_metrics
from biofm.training.objectives import regression

MakeRecipe = Callable[..., PretrainRecipe]


@pytest.fixture
def take_steps(
    make_model: Callable[[], MaskedLM],
    make_proteins: Callable[..., list[str]],
    tokenizer: ProteinTokenizer,
    cpu: Compute,
) -> Callable[[PretrainRecipe, Path], dict[str, Tensor]]:
    """Trains a regression on a number of each of twelve proteins; what of it is trained."""
    store = TokenStore.of(map(tokenizer.encode, make_proteins(12, shortest=8, longest=60)))
    objective = regression(np.random.default_rng(0).normal(size=(12, 1)))

    def take(recipe: PretrainRecipe, folder: Path) -> dict[str, Tensor]:
        folder.mkdir()
        model = SequencePredictor(make_model().encoder, "mean", 1, special_tokens=(0, 2))
        initialise_head(model, seed=0)
        mixture = Mixture([np.arange(12)], None, recipe.seed)
        data = PackedData(store, mixture, np.arange(3), objective, recipe)
        fit(model, objective, data, recipe, cpu, folder, lambda *progress: None)
        return dict(model.state_dict())

    return take


def n_bins(proteins: list[str], budget: int) -> int:
    return len(fill_bins(np.array([len(protein) + 2 for protein in proteins]), budget))


def test_a_step_of_many_small_batches_is_the_step_of_one_large_batch(
    take_steps: Callable[[PretrainRecipe, Path], dict[str, Tensor]],
    make_recipe: MakeRecipe,
    make_proteins: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    """The batches hold unlike numbers of sequences, each of which counts the same."""
    budget = 130
    n = n_bins(make_proteins(12, shortest=8, longest=60), budget)
    assert n > 2
    changes = {"n_steps": 2, "log_every": 1, "optimizer": "adamw", "learning_rate": 0.01}
    large = take_steps(make_recipe(tokens_per_batch=2000, **changes), tmp_path / "large")
    small = take_steps(
        make_recipe(tokens_per_batch=budget, batches_per_step=n, **changes), tmp_path / "small"
    )
    for name, weight in large.items():
        torch.testing.assert_close(small[name], weight, atol=1e-5, rtol=1e-4)
    rows = [read_metrics(tmp_path / name / "metrics.csv") for name in ("large", "small")]
    for one, other in zip(*rows, strict=True):
        assert one["tokens"] == other["tokens"]
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-5)


def test_the_last_step_is_judged_whatever_its_number(
    take_steps: Callable[[PretrainRecipe, Path], dict[str, Tensor]], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    take_steps(make_recipe(n_steps=7, validate_every=3, log_every=2, batches_per_step=2), tmp_path / "run")
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 7]
    assert [row["step"] for row in rows if "validation_loss" in row] == [3, 6, 7]


def test_what_does_not_learn_is_in_no_checkpoint_and_stays(
    make_model: Callable[[], MaskedLM],
    make_proteins: Callable[..., list[str]],
    make_recipe: MakeRecipe,
    tokenizer: ProteinTokenizer,
    cpu: Compute,
    tmp_path: Path,
) -> None:
    """A head on a frozen encoder, trained in one session and in two."""
    store = TokenStore.of(map(tokenizer.encode, make_proteins(12)))
    objective = regression(np.arange(12.0)[:, None])
    ends = []
    for name, sessions in (("whole", [6]), ("parts", [4, 6])):
        (tmp_path / name).mkdir()
        for n_steps in sessions:
            recipe = make_recipe(n_steps=n_steps, decay_share=0.0, optimizer="adamw")
            model = SequencePredictor(make_model().encoder, "mean", 1, special_tokens=(0, 2))
            initialise_head(model, seed=0)
            model.encoder.requires_grad_(False)
            untrained = {key: weight.clone() for key, weight in model.state_dict().items()}
            data = PackedData(
                store, Mixture([np.arange(12)], None, recipe.seed), np.arange(0), objective, recipe
            )
            fit(model, objective, data, recipe, cpu, tmp_path / name, lambda *progress: None)
        ends.append({key: weight.clone() for key, weight in model.state_dict().items()})
        (last,) = (tmp_path / name / "checkpoints").iterdir()
        kept = torch.load(last, weights_only=True)["state_dict"]
        assert not any(".blocks." in key for key in kept)
    whole, parts = ends
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    start = make_model().encoder.state_dict()
    assert all(torch.equal(whole[f"encoder.{key}"], weight) for key, weight in start.items())
    assert any(not torch.equal(whole[key], weight) for key, weight in untrained.items())
