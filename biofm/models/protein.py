"""biofm's own protein models, which are pre-norm, with rotary positions, SwiGLU, QK norm and no biases in the
blocks.

The layout is biofm's own: ``config.json`` holds the encoder's configuration, and the tensors have our
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
HUB_IDS: dict[str, str] = {}  # None is published: they are bundled, or a user trains them.
WRITTEN = OWN_NAMES

SIZES = {
    "nano": {"d_model": 128, "n_layers": 6, "n_heads": 4, "d_feedforward": 352},
    "small": {"d_model": 320, "n_layers": 8, "n_heads": 5, "d_feedforward": 864},
    "medium": {"d_model": 640, "n_layers": 24, "n_heads": 10, "d_feedforward": 1728},
}


def config(size: str, *, trained_length: int, causal: bool = False) -> EncoderConfig:
    """Return the configuration of a named size; ``trained_length`` is in tokens, special ones included."""
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
    """Return whether the settings are those of one of biofm's own models."""
    return settings.get("model_type") == MODEL_TYPE


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    """Return the layout of a folder.

    Raises:
        ModelError: The ``config.json`` does not describe an encoder.
    """
    try:
        return Layout(EncoderConfig(**settings["encoder"]), tensors, OWN_NAMES)
    except (KeyError, *WRONG_SETTINGS) as error:
        raise ModelError(
            f"not a configuration of a biofm model ({error})", where=where, remedy="Get the folder again"
        ) from error


def to_settings(model: MaskedLM) -> dict[str, Any]:
    """Return the ``config.json`` of a model."""
    return {"model_type": MODEL_TYPE, "encoder": asdict(model.config)}


def tokenizer() -> ProteinTokenizer:
    """Return the tokenizer of the family."""
    return ProteinTokenizer()


def tokenizer_files() -> dict[str, bytes]:
    """Return no files: the alphabet is ESM-2's, and ``transformers`` does not read the layout."""
    return {}
