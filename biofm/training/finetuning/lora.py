"""Low-rank adapters in an encoder, by peft, and their files."""

import json
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import safetensors.torch
import torch
from torch import nn

from biofm.core.errors import MissingExtraError
from biofm.inference.prediction.adapters import CONFIG_FILE, PREFIX, WEIGHTS_FILE, merge_adapter
from biofm.models import Checkpoint
from biofm.nn import Encoder
from biofm.training.recipe import FinetuneRecipe

TARGETS = ("qkv", "out", "up", "down", "gate_up")
"""The linear layers of a block; an encoder has those that its family has."""


def check_peft() -> None:
    """Raises MissingExtraError where peft is not installed."""
    if find_spec("peft") is None:
        remedy = "pip install 'biofm[train-extras]'"
        raise MissingExtraError("LoRA needs the package peft, which is not installed", remedy=f"Run {remedy}")


def inject_adapters(encoder: Encoder, recipe: FinetuneRecipe) -> None:
    """Put adapters, which learn, beside the blocks' linear layers, which do not. They begin at nothing."""
    from peft import LoraConfig, inject_adapter_in_model  # optional, and slow to import

    linear = [name for name, part in encoder.blocks.named_modules() if isinstance(part, nn.Linear)]
    names = {name.rpartition(".")[2] for name in linear}
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=sorted(names & set(TARGETS)),
    )
    with torch.random.fork_rng(devices=[]):  # their weights depend on the seed alone
        torch.manual_seed(recipe.seed)
        inject_adapter_in_model(config, encoder)


def adapter_files(encoder: Encoder, base_model: str) -> dict[str, bytes]:
    """The adapters in ``encoder`` as the two files that ``peft.PeftModel.from_pretrained`` reads."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(encoder, adapter_name="default")
    configs: Any = encoder.peft_config  # which peft has put there
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
    """A copy of ``base`` in float32, the adapters of ``files`` added to its weights. Without its heads, which
    fit the encoder as it was.
    """
    module = deepcopy(base.module).float()
    module.head = module.contacts = None
    weights = safetensors.torch.load(files[WEIGHTS_FILE])
    merge_adapter(module.encoder, files[CONFIG_FILE], weights, "the trained adapter")
    return Checkpoint(base.family, module, base.tokenizer)
