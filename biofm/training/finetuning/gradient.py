"""Gradient training: a member's head is trained with all weights of the encoder, or with adapters (LoRA)."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.core.choices import Task
from biofm.core.errors import MissingExtraError, how_to_install
from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import Labels
from biofm.inference import Compute
from biofm.inference.prediction import Head
from biofm.inference.prediction.adapters import CONFIG_FILE, PREFIX, WEIGHTS_FILE, merge_adapter
from biofm.modalities import Tokenizer
from biofm.models import Checkpoint
from biofm.nn import Encoder, ResidueModel, SequenceModel, initialise_head
from biofm.training.finetuning.plan import MemberPlan
from biofm.training.objectives import Objective, classification, multi_label, per_residue, regression
from biofm.training.recipe import FinetuneRecipe

if TYPE_CHECKING:
    from biofm.training.data import PackedData
    from biofm.training.fit import FitSummary

Model = SequenceModel | ResidueModel

TARGETS = ("qkv", "out", "up", "down", "gate_up")
"""Names of the linear layers that get adapters. A family's blocks have some of them."""


class Scaling(NamedTuple):
    """Holds what standardises the targets of a regression: (target - shift) / scale."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]


class Untrained(NamedTuple):
    """Holds a member before its training, as ``fit`` takes it. Only a regression has a ``scaling``."""

    checkpoint: Checkpoint
    model: Model
    objective: Objective
    data: "PackedData"
    recipe: FinetuneRecipe
    task: Task
    scaling: Scaling | None


class Trained(NamedTuple):
    """Holds a member after its training. The encoder in ``checkpoint`` includes the adapters of LoRA."""

    head: Head
    checkpoint: Checkpoint
    summary: "FitSummary"


def train_member(member: Untrained, compute: Compute, folder: Path, progress: RunProgress) -> Trained:
    """Train a member, or resume the training that an interrupted run has left in ``folder``."""
    from biofm.training.fit import fit  # imports lightning, which takes seconds

    model = member.model
    summary = fit(model, member.objective, member.data, member.recipe, compute, folder, progress)
    model.cpu().float().eval().requires_grad_(False)
    return Trained(_head(model, member.task, member.scaling), member.checkpoint, summary)


def make_member(
    member: MemberPlan, labels: Labels, store: TokenStore, base: Checkpoint, recipe: FinetuneRecipe
) -> Untrained:
    """Make the model, the data and the objective of a member.

    ``store`` holds the tokens of all rows of the table. The member gets a copy of the weights of ``base``.
    """
    from biofm.training.data import PackedData  # imports lightning, which takes seconds

    is_full = recipe.method == "full"  # adapters are in the encoder, but learn at the head's rate
    recipe = replace(recipe, seed=member.seed, encoder_rate=recipe.encoder_rate if is_full else 1.0)
    checkpoint = _without_heads(base)
    model = _build(checkpoint, labels, recipe)
    scaling = _scaling(labels, member.train)
    objective = _objective(labels, scaling, checkpoint.tokenizer)
    data = PackedData(store, Mixture([member.train], None, recipe.seed), member.validation, objective, recipe)
    return Untrained(checkpoint, model, objective, data, recipe, labels.task, scaling)


def check_peft() -> None:
    """Raise MissingExtraError if peft is not installed."""
    if find_spec("peft") is None:
        what = "LoRA needs the package peft, which is not installed"
        raise MissingExtraError(what, remedy=how_to_install("train-extras"))


def inject_adapters(encoder: Encoder, recipe: FinetuneRecipe) -> None:
    """Put adapters beside the linear layers of the blocks.

    Only the adapters learn. Before training, they add zero to the layers' outputs.
    """
    from peft import LoraConfig, inject_adapter_in_model  # optional, and slow to import

    linear = [name for name, part in encoder.blocks.named_modules() if isinstance(part, nn.Linear)]
    names = {name.rpartition(".")[2] for name in linear}
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=sorted(names & set(TARGETS)),
    )
    with torch.random.fork_rng(devices=[]):  # the adapters' weights depend on the seed alone
        torch.manual_seed(recipe.seed)
        inject_adapter_in_model(config, encoder)


def adapter_files(encoder: Encoder, base_model: str) -> dict[str, bytes]:
    """Return the adapters in ``encoder`` as the two files that ``peft.PeftModel.from_pretrained`` reads."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(encoder, adapter_name="default")
    configs: Any = encoder.peft_config  # peft has added this attribute
    settings = configs["default"].to_dict() | {
        "base_model_name_or_path": base_model,
        "inference_mode": True,
    }
    settings["target_modules"] = sorted(settings["target_modules"])
    return {
        CONFIG_FILE: json.dumps(settings, indent=2, default=str).encode() + b"\n",
        WEIGHTS_FILE: safetensors.torch.save(
            {PREFIX + name: weight.contiguous() for name, weight in sorted(state.items())}
        ),
    }


def merged(base: Checkpoint, files: Mapping[str, bytes]) -> Checkpoint:
    """Copy ``base`` in float32 and add the adapters of ``files`` to the weights.

    The copy has no heads, because they were trained with the unchanged encoder.
    """
    module = deepcopy(base.module).float()
    module.head = module.contacts = None
    weights = safetensors.torch.load(files[WEIGHTS_FILE])
    merge_adapter(module.encoder, files[CONFIG_FILE], weights, "the trained adapter")
    return Checkpoint(base.family, module, base.tokenizer)


def _without_heads(base: Checkpoint) -> Checkpoint:
    """Copy a model in float32 without its heads, because they were trained with the unchanged encoder."""
    module = deepcopy(base.module)
    module.head = module.contacts = None
    return Checkpoint(base.family, module.float(), base.tokenizer)


def _build(checkpoint: Checkpoint, labels: Labels, recipe: FinetuneRecipe) -> Model:
    """Build the model, with gradients only for the weights that learn."""
    encoder = checkpoint.module.encoder
    encoder.requires_grad_(recipe.method == "full")
    if recipe.method == "lora":
        inject_adapters(encoder, recipe)
    model: Model
    if labels.task == "per-residue":
        model = ResidueModel(encoder, labels.n_outputs, recipe.dropout, n_hidden=recipe.n_hidden)
    else:
        assert recipe.pool != "max", "the recipe refuses this pooling"
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
    """Make the objective for all rows of the table, in the order of the store."""
    if scaling is not None:
        return regression((labels.numbers - scaling.shift) / scaling.scale)
    if labels.task == "classification":
        return classification(labels.codes)
    if labels.task == "multi-label":
        return multi_label(labels.numbers)
    assert labels.offsets is not None
    return per_residue(np.split(labels.codes, labels.offsets[1:-1]), tokenizer)


def _head(model: Model, task: Task, scaling: Scaling | None) -> Head:
    query: Tensor | None = getattr(model.pool, "query", None) if isinstance(model, SequenceModel) else None
    shift, scale = (None, None) if scaling is None else map(torch.from_numpy, scaling)
    return Head(task, model.head, query, shift, scale)
