"""Adapters: this module reads low-rank adapters (LoRA) and merges them into an encoder.

Hu et al. 2021, https://arxiv.org/abs/2106.09685: the weights W become W + scale B A. The files are those that
peft writes, but peft is not needed.
"""

import math
from collections.abc import Mapping

from biofm_datasets.documents import parse_json
from torch import Tensor

from biofm.core.errors import ModelError
from biofm.nn import Encoder

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
A, B = ".lora_A.weight", ".lora_B.weight"


def merge_adapter(encoder: Encoder, config: bytes, weights: Mapping[str, Tensor], where: str) -> None:
    """Add an adapter to the weights of the encoder that it was trained on, in place.

    Args:
        encoder: The encoder to change.
        config: The content of the adapter's configuration file.
        weights: The tensors of the adapter by name.
        where: The folder of the adapter, for messages.

    Raises:
        ModelError: The adapter does not fit the encoder.
    """
    remedy = "Copy the predictor's folder again, or name the model that it was trained on with --model"
    try:
        scale = _scale(config)
        for name, a in weights.items():
            if not name.endswith(A):
                continue
            module = encoder.get_submodule(name.removeprefix(PREFIX).removesuffix(A))
            weight = module.weight
            assert isinstance(weight, Tensor)
            b = weights[name.removesuffix(A) + B]
            if (b.shape[:1], a.shape[1:], b.ndim) != (weight.shape[:1], weight.shape[1:], 2):
                shapes = f"{list(b.shape)} and {list(a.shape)}"
                raise ValueError(f"matrices of shapes {shapes} for {name.removesuffix(A)}")
            change = scale * b.float() @ a.float()
            weight.data = (weight.data.float() + change.to(weight.device)).to(weight.dtype)
    except (ValueError, LookupError, AttributeError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        what = f"the adapter does not fit the model ({reason})"
        raise ModelError(what, where=where, remedy=remedy) from error


def _scale(config: bytes) -> float:
    """Return the factor of B A. Raise ValueError for an impossible rank or alpha."""
    settings = parse_json(config)
    rank, alpha = float(settings["r"]), float(settings["lora_alpha"])
    if not (0 < rank < math.inf and math.isfinite(alpha)):
        raise ValueError(f"a rank of {rank:g} and an alpha of {alpha:g}")
    return alpha / (rank**0.5 if settings.get("use_rslora") else rank)
