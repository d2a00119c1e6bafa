"""biofm's own protein models: pre-norm, rotary, SwiGLU, QK norm, no biases in the blocks.

The layout is biofm's own: ``config.json`` holds the encoder's configuration, and the tensors bear our
modules' names.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from biofm.core.errors import ModelError
from biofm.modalities import ProteinTokenizer
from biofm.models.layout import OWN_NAMES, WRONG_SETTINGS, Layout, NewModels
from biofm.models.tensors import Tensors
from biofm.nn import EncoderConfig, MaskedLM

MODEL_TYPE = "biofm-protein"
HUB_IDS: dict[str, str] = {}  # none is published: they are bundled, or trained by their user
WRITTEN = OWN_NAMES

SIZES = {
    "nano": {"d_model": 128, "n_layers": 6, "n_heads": 4, "d_feedforward": 352},
    "small": {"d_model": 320, "n_layers": 8, "n_heads": 5, "d_feedforward": 864},
    "medium": {"d_model": 640, "n_layers": 24, "n_heads": 10, "d_feedforward": 1728},
}


def config(size: str, *, trained_length: int, causal: bool = False) -> EncoderConfig:
    """The configuration of a named size; ``trained_length`` in tokens, <cls> and <eos> included."""
    shape: dict[str, Any] = SIZES[size]
    return EncoderConfig(
        vocab_size=len(ProteinTokenizer().vocabulary),
        trained_length=trained_length,
        norm_bias=False,
        linear_bias=False,
        feedforward="swiglu",
        qk_norm=True,
        causal=causal,
        **shape,
    )


def _new_config(size: str, trained_length: int, causal: bool) -> EncoderConfig:
    return config(size, trained_length=trained_length, causal=causal)


NEW: NewModels | None = NewModels(tuple(SIZES), _new_config)


def owns(settings: Mapping[str, Any]) -> bool:
    return settings.get("model_type") == MODEL_TYPE


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    """From a ``config.json`` of ours. Raises ModelError where it does not describe an encoder."""
    try:
        return Layout(EncoderConfig(**settings["encoder"]), tensors, OWN_NAMES)
    except (KeyError, *WRONG_SETTINGS) as error:
        raise ModelError(
            f"not a configuration of a biofm model ({error})", where=where, remedy="Get it again"
        ) from error


def to_settings(model: MaskedLM) -> dict[str, Any]:
    return {"model_type": MODEL_TYPE, "encoder": asdict(model.config)}


def tokenizer() -> ProteinTokenizer:
    return ProteinTokenizer()


def tokenizer_files() -> dict[str, bytes]:
    """None: the alphabet is that of ESM-2."""
    return {}
