"""biofm's own protein models: pre-norm, rotary, SwiGLU, QK norm, no biases in the blocks.

The layout is biofm's own: ``config.json`` holds the encoder's configuration, and the tensors bear our
modules' names.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from biofm.core.errors import ModelError
from biofm.nn import EncoderConfig
from biofm.tokenizers import ProteinTokenizer

MODEL_TYPE = "biofm-protein"

SIZES = {
    "nano": {"d_model": 128, "n_layers": 6, "n_heads": 4, "d_feedforward": 352},
    "small": {"d_model": 320, "n_layers": 8, "n_heads": 5, "d_feedforward": 864},
    "medium": {"d_model": 640, "n_layers": 24, "n_heads": 10, "d_feedforward": 1728},
}


def config(size: str, *, trained_length: int) -> EncoderConfig:
    """The configuration of a named size; ``trained_length`` in tokens, <cls> and <eos> included."""
    shape: dict[str, Any] = SIZES[size]
    return EncoderConfig(
        vocab_size=len(ProteinTokenizer().vocabulary),
        trained_length=trained_length,
        norm_bias=False,
        linear_bias=False,
        feedforward="swiglu",
        qk_norm=True,
        **shape,
    )


def config_from_settings(settings: Mapping[str, Any], where: str) -> EncoderConfig:
    """From a ``config.json`` of ours. Raises ModelError where it does not describe an encoder."""
    try:
        return EncoderConfig(**settings["encoder"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"not a configuration of a biofm model ({error})", where=where, remedy="Get it again"
        ) from error


def config_to_settings(encoder: EncoderConfig) -> dict[str, Any]:
    return {"model_type": MODEL_TYPE, "encoder": asdict(encoder)}
