"""A step is the mean over its examples, however they are batched, and callbacks are called after it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture, fill_bins
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray
from torch import Tensor

from biofm.inference import Compute
from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM, PackedBatch, ResidueModel, SequenceModel, initialise_head
from biofm.training import FinetuneRecipe, PretrainRecipe
from biofm.training.data import PackedData
from biofm.training.finetuning.gradient import inject_adapters
from biofm.training.fit import fit
from biofm.training.log import read_log
from biofm.training.objectives import (
    Labelled,
    Objective,
    causal_lm,
    classification,
    masked_lm,
    multi_label,
    per_residue,
    regression,
)

MakeRecipe = Callable[..., PretrainRecipe]
Indices = NDArray[np.int64]

# A share of the largest change. Several batches add in another order; Muon computes its updates in bfloat16,
# whose last bit can change with such a difference.
TOLERANCE = {"adamw": 1e-4, "muon": 0.1}


def mask_by_place(
    mask: int, batch: PackedBatch, members: Indices, starts: Indices, rng: np.random.Generator
) -> Labelled:
    """Mask the places of a protein that its own random numbers choose, whatever batch it is in."""
    draws = [np.random.default_rng(member).random(64) for member in members]
    lengths = batch.lengths.tolist()
    parts = [draw[:n] < it / 16 for draw, n, it in zip(draws, lengths, members, strict=True)]
    rows = torch.from_numpy(np.concatenate(parts)).nonzero().squeeze(1)
    tokens = batch.tokens.clone()
    tokens[rows] = mask
    return Labelled(replace(batch, tokens=tokens), rows, batch.tokens[rows])


def make_objective(name: str, lengths: NDArray[np.int64], recipe: PretrainRecipe) -> Objective:
    """Make the objective of twelve proteins; the first of them have few known targets or none."""
    rng, share = np.random.default_rng(0), np.arange(12)[:, None] / 8
    tokenizer = ProteinTokenizer()
    numbers = np.where(rng.random((12, 3)) < share, rng.normal(size=(12, 3)), np.nan)
    residues = np.where(rng.random((12, 64)) < share, rng.integers(3, size=(12, 64)), -1)
    match name:
        case "masked":
            return replace(masked_lm(tokenizer, recipe), label=partial(mask_by_place, tokenizer.mask))
        case "causal":
            return causal_lm(tokenizer)
        case "classification":
            return classification(np.where(np.arange(12) % 3, rng.integers(3, size=12), -1))
        case "multi-label":
            return multi_label(np.where(np.isnan(numbers), np.nan, numbers > 0))
        case "regression" | "adapters":
            return regression(numbers)
    return per_residue([row[:length] for row, length in zip(residues, lengths, strict=True)], tokenizer)


@pytest.fixture
def take_steps(
    make_model: Callable[..., MaskedLM],
    make_proteins: Callable[..., list[str]],
    tokenizer: ProteinTokenizer,
    cpu: Compute,
) -> Callable[..., dict[str, Tensor]]:
    """Train on twelve proteins, and return the change of the trained weights."""
    store = TokenStore.of(map(tokenizer.encode, make_proteins(12, shortest=8, longest=60)))

    def take(recipe: PretrainRecipe, folder: Path, name: str = "regression") -> dict[str, Tensor]:
        folder.mkdir()
        objective = make_objective(name, store.lengths(np.arange(12)) - 2, recipe)
        language_model = make_model(causal=name == "causal")
        model: MaskedLM | SequenceModel | ResidueModel = language_model
        if name == "per-residue":
            model = ResidueModel(language_model.encoder, 3)
        elif name not in ("masked", "causal"):
            if name == "adapters":
                language_model.encoder.requires_grad_(False)
                inject_adapters(language_model.encoder, FinetuneRecipe(method="lora", lora_rank=4))
            model = SequenceModel(language_model.encoder, "mean", 3, special_tokens=(0, 2))
        if not isinstance(model, MaskedLM):
            initialise_head(model, seed=0)
        before = {key: weight.clone() for key, weight in model.state_dict().items()}
        mixture = Mixture([np.arange(12)], None, recipe.seed)
        data = PackedData(store, mixture, np.arange(3, 7), objective, recipe)
        fit(model, objective, data, recipe, cpu, folder, lambda *progress: None)
        return {key: weight - before[key] for key, weight in model.state_dict().items()}

    return take


def n_bins(proteins: list[str], budget: int) -> int:
    return len(fill_bins(np.array([len(protein) + 2 for protein in proteins]), budget))


@pytest.mark.parametrize(
    ("objective", "optimizer"),
    [
        ("masked", "adamw"), ("masked", "muon"), ("causal", "adamw"), ("classification", "adamw"),
        ("multi-label", "adamw"), ("regression", "adamw"), ("per-residue", "adamw"), ("adapters", "adamw"),
    ],
)  # fmt: skip
def test_a_step_of_many_small_batches_is_the_step_of_one_large_batch(
    objective: str,
    optimizer: str,
    take_steps: Callable[..., dict[str, Tensor]],
    make_recipe: MakeRecipe,
    make_proteins: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    """The batches have different numbers of targets, some none; each target counts the same."""
    budget = 130
    n = n_bins(make_proteins(12, shortest=8, longest=60), budget)
    assert n > 2
    changes = {"n_steps": 3, "log_every": 1, "optimizer": optimizer, "learning_rate": 0.01, "clip_norm": 0.1}
    large = take_steps(make_recipe(tokens_per_batch=2000, **changes), tmp_path / "large", objective)
    recipe = make_recipe(tokens_per_batch=budget, batches_per_step=n, **changes)
    small = take_steps(recipe, tmp_path / "small", objective)
    largest = max(float(change.abs().max()) for change in large.values())
    assert objective != "adapters" or {name for name, it in large.items() if ".blocks." in name and it.any()}
    off = max(float((small[name] - change).abs().max()) for name, change in large.items())
    assert off < TOLERANCE[optimizer] * largest
    rows = [read_log(tmp_path / name / "metrics.csv") for name in ("large", "small")]
    for one, other in zip(*rows, strict=True):
        assert one["tokens"] == other["tokens"]
        assert one["loss"] == pytest.approx(other["loss"], abs=2e-5)


def test_the_last_step_is_judged_whatever_its_number(
    take_steps: Callable[[PretrainRecipe, Path], dict[str, Tensor]], make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    take_steps(make_recipe(n_steps=7, validate_every=3, log_every=2, batches_per_step=2), tmp_path / "run")
    rows = read_log(tmp_path / "run" / "metrics.csv")
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
    """A head on a frozen encoder is trained in one session and in two."""
    store = TokenStore.of(map(tokenizer.encode, make_proteins(12)))
    objective = regression(np.arange(12.0)[:, None])
    ends = []
    for name, sessions in (("whole", [6]), ("parts", [4, 6])):
        (tmp_path / name).mkdir()
        for n_steps in sessions:
            recipe = make_recipe(n_steps=n_steps, decay_share=0.0, optimizer="adamw")
            model = SequenceModel(make_model().encoder, "mean", 1, special_tokens=(0, 2))
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
