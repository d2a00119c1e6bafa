"""Training a member by gradients: all of the encoder, or adapters in it, under a head."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import Labels
from biofm.inference import Compute
from biofm.inference.prediction import Head
from biofm.modalities import Tokenizer
from biofm.models import Checkpoint
from biofm.nn import ResidueModel, SequenceModel, initialise_head
from biofm.training.finetuning.lora import inject_adapters
from biofm.training.finetuning.plan import MemberPlan
from biofm.training.objectives import Objective, classification, multi_label, per_residue, regression
from biofm.training.recipe import FinetuneRecipe

if TYPE_CHECKING:
    from biofm.training.data import PackedData
    from biofm.training.fit import FitSummary

Model = SequenceModel | ResidueModel


class Scaling(NamedTuple):
    """What standardises the targets of a regression."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]


class Untrained(NamedTuple):
    """A member before its training, as ``fit`` takes it. ``scaling``: of the targets of a regression."""

    checkpoint: Checkpoint
    model: Model
    objective: Objective
    data: "PackedData"
    recipe: FinetuneRecipe
    scaling: Scaling | None


class Trained(NamedTuple):
    """A member after its training. ``checkpoint``: the trained encoder, with adapters in it after LoRA."""

    head: Head
    checkpoint: Checkpoint
    summary: "FitSummary"


def train_member(
    member: MemberPlan,
    labels: Labels,
    store: TokenStore,
    base: Checkpoint,
    recipe: FinetuneRecipe,
    compute: Compute,
    folder: Path,
    progress: RunProgress,
) -> Trained:
    """Train on the member's rows from the weights of ``base``, which stay as they are; go on with what an
    interrupted run has left in ``folder``.
    """
    from biofm.training.fit import fit  # brings lightning, which takes seconds to import

    untrained = make_member(member, labels, store, base, recipe)
    model = untrained.model
    summary = fit(model, untrained.objective, untrained.data, untrained.recipe, compute, folder, progress)
    model.cpu().float().eval().requires_grad_(False)
    return Trained(_head(model, labels, untrained.scaling), untrained.checkpoint, summary)


def make_member(
    member: MemberPlan, labels: Labels, store: TokenStore, base: Checkpoint, recipe: FinetuneRecipe
) -> Untrained:
    """The model, the data and the objective of a member. ``store``: the tokens of all rows of the table."""
    from biofm.training.data import PackedData  # brings lightning, which takes seconds to import

    is_full = recipe.method == "full"  # adapters stand in the encoder and learn at the head's rate
    recipe = replace(recipe, seed=member.seed, encoder_rate=recipe.encoder_rate if is_full else 1.0)
    checkpoint = _without_heads(base)
    model = _build(checkpoint, labels, recipe)
    scaling = _scaling(labels, member.train)
    objective = _objective(labels, scaling, checkpoint.tokenizer)
    data = PackedData(store, Mixture([member.train], None, recipe.seed), member.validation, objective, recipe)
    return Untrained(checkpoint, model, objective, data, recipe, scaling)


def _without_heads(base: Checkpoint) -> Checkpoint:
    """A copy in float32; the language model's head and the contact head fit the encoder as it was."""
    module = deepcopy(base.module)
    module.head = module.contacts = None
    return Checkpoint(base.family, module.float(), base.tokenizer)


def _build(checkpoint: Checkpoint, labels: Labels, recipe: FinetuneRecipe) -> Model:
    """The model in which what is to learn asks for gradients."""
    encoder = checkpoint.module.encoder
    encoder.requires_grad_(recipe.method == "full")
    if recipe.method == "lora":
        inject_adapters(encoder, recipe)
    model: Model
    if labels.task == "per-residue":
        model = ResidueModel(encoder, labels.n_outputs, recipe.dropout, n_hidden=recipe.n_hidden)
    else:
        assert recipe.pool != "max", "the recipe has refused it"
        special = checkpoint.tokenizer.special
        model = SequenceModel(
            encoder, recipe.pool, labels.n_outputs, recipe.dropout, n_hidden=recipe.n_hidden,
            special_tokens=special,
        )  # fmt: skip
    initialise_head(model, recipe.seed)
    return model


def _scaling(labels: Labels, train: Indices) -> Scaling | None:
    if labels.task != "regression":
        return None
    known = labels.numbers[train]
    spread = np.nanstd(known, axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return Scaling(np.nanmean(known, axis=0).astype(np.float32), scale.astype(np.float32))


def _objective(labels: Labels, scaling: Scaling | None, tokenizer: Tokenizer) -> Objective:
    """Of all rows of the table, which are the members of the store."""
    if scaling is not None:
        return regression((labels.numbers - scaling.shift) / scaling.scale)
    if labels.task == "classification":
        return classification(labels.codes)
    if labels.task == "multi-label":
        return multi_label(labels.numbers)
    assert labels.offsets is not None
    return per_residue(np.split(labels.codes, labels.offsets[1:-1]), tokenizer)


def _head(model: Model, labels: Labels, scaling: Scaling | None) -> Head:
    query: Tensor | None = getattr(model.pool, "query", None) if isinstance(model, SequenceModel) else None
    shift, scale = (None, None) if scaling is None else map(torch.from_numpy, scaling)
    return Head(labels.task, model.head, query, shift, scale)
