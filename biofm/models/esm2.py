"""ESM-2: a model of 8M to 15B weights that is pre-norm, with rotary positions (Lin et al. 2023, Science
379:1123).

It uses GELU, token dropout and a tied head. The ``transformers`` layout (``EsmForMaskedLM`` or ``EsmModel``)
and fair-esm's ``.pt`` are read; the former is written.
"""

import json
import re
from argparse import Namespace
from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any

from biofm.core.errors import ModelError
from biofm.modalities import ProteinTokenizer
from biofm.models.layout import WRONG_SETTINGS, Layout, NameMap, NewModels, configuration_errors
from biofm.models.tensors import Tensors, held
from biofm.nn import EncoderConfig, MaskedLM

MODEL_TYPE = "esm"
TRAINED_LENGTH = 1024  # <cls> + 1,022 residues + <eos>

HUB_IDS = {
    "esm2-8m": "facebook/esm2_t6_8M_UR50D",
    "esm2-35m": "facebook/esm2_t12_35M_UR50D",
    "esm2-150m": "facebook/esm2_t30_150M_UR50D",
    "esm2-650m": "facebook/esm2_t33_650M_UR50D",
    "esm2-3b": "facebook/esm2_t36_3B_UR50D",
    "esm2-15b": "facebook/esm2_t48_15B_UR50D",
}

BARE_MODULES = ("embeddings.", "encoder.", "rotary_embeddings.", "contact_head.", "pooler.")

TRANSFORMERS = NameMap(
    modules={
        "encoder.embedding.tokens": ("esm.embeddings.word_embeddings",),
        "encoder.norm": ("esm.encoder.emb_layer_norm_after",),
        "head": ("lm_head",),
        "head.dense": ("lm_head.dense",),
        "head.norm": ("lm_head.layer_norm",),
        "contacts.regression": ("esm.contact_head.regression",),
    },
    block_prefix="esm.encoder.layer.{layer}.",
    block={
        "attention_norm": ("attention.LayerNorm",),
        "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.out": ("attention.output.dense",),
        "feedforward_norm": ("LayerNorm",),
        "feedforward.up": ("intermediate.dense",),
        "feedforward.down": ("output.dense",),
    },
    optional={
        "encoder.rotary.frequencies": (
            "esm.rotary_embeddings.inv_freq",
            "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq",  # published
            "esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq",  # transformers 5.23
        )
    },
    tied="lm_head.decoder.weight",
    ignored=(
        ".inv_freq",
        ".position_ids",
        "position_embeddings.weight",
        "lm_head.decoder.bias",
        "pooler.dense.weight",
        "pooler.dense.bias",
    ),
)

FAIR_ESM = NameMap(
    modules={
        "encoder.embedding.tokens": ("embed_tokens",),
        "encoder.norm": ("emb_layer_norm_after",),
        "head": ("lm_head",),
        "head.dense": ("lm_head.dense",),
        "head.norm": ("lm_head.layer_norm",),
        "contacts.regression": ("contact_head.regression",),
    },
    block_prefix="layers.{layer}.",
    block={
        "attention_norm": ("self_attn_layer_norm",),
        "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.out": ("self_attn.out_proj",),
        "feedforward_norm": ("final_layer_norm",),
        "feedforward.up": ("fc1",),
        "feedforward.down": ("fc2",),
    },
    optional={"encoder.rotary.frequencies": ("layers.0.self_attn.rot_emb.inv_freq",)},
    tied="lm_head.weight",
    ignored=(".inv_freq",),
)

WRITTEN = TRANSFORMERS
NEW: NewModels | None = None


def config(
    *, d_model: int, n_layers: int, n_heads: int, token_dropout: bool = True, **other: Any
) -> EncoderConfig:
    """Return the configuration of an ESM-2 of any shape; the published ones differ only in these three
    numbers.
    """
    if token_dropout not in (True, False, None):
        raise ValueError(f"token_dropout is {shortened(token_dropout)}; it must be true or false")
    tokenizer = ProteinTokenizer()
    shape = {
        "vocab_size": len(tokenizer.vocabulary),
        "d_feedforward": 4 * d_model,
        "trained_length": TRAINED_LENGTH,
    }
    mask_token = tokenizer.mask if token_dropout else None
    return EncoderConfig(
        **(shape | other), d_model=d_model, n_layers=n_layers, n_heads=n_heads, mask_token=mask_token
    )


def owns(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings are those of an ESM-2: ESM-1b and ESM-1v, of the same model type, have
    learned positions.
    """
    rotary = settings.get("position_embedding_type") == "rotary"
    return settings.get("model_type") == MODEL_TYPE and rotary


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    """Return the layout of a folder in the ``transformers`` layout."""
    config = config_from_transformers(settings, where)
    return Layout(config, tensors.renamed(modern_transformers_name), TRANSFORMERS)


def config_from_transformers(settings: Mapping[str, Any], where: str) -> EncoderConfig:
    """Return the configuration that a ``config.json`` describes.

    Raises:
        ModelError: It is another model of the same model type, or the settings describe no encoder.
    """
    refuse_siblings(settings, "an ESM-2", where)
    with configuration_errors("an ESM-2", where):
        return config(
            d_model=settings["hidden_size"],
            n_layers=settings["num_hidden_layers"],
            n_heads=settings["num_attention_heads"],
            token_dropout=settings.get("token_dropout", False),
            d_feedforward=settings["intermediate_size"],
            norm_eps=settings["layer_norm_eps"],
        )


def refuse_siblings(settings: Mapping[str, Any], model: str, where: str) -> None:
    """Raise ModelError for another model of the model type "esm"; ``model`` is what the caller looks for."""
    if sibling := _sibling(settings):
        remedy = "See `biofm models` for what can be loaded"
        raise ModelError(f"this is {sibling}, not {model}", where=where, remedy=remedy)


def _sibling(settings: Mapping[str, Any]) -> str:
    n_tokens = len(tokenizer().vocabulary)
    if settings.get("is_folding_model"):
        return "ESMFold, which predicts structures with an ESM-2 inside"
    if settings.get("vocab_size", n_tokens) != n_tokens:
        return f"a model with another alphabet, of {settings['vocab_size']} tokens instead of {n_tokens}"
    if settings.get("position_embedding_type") == "rotary" and settings.get("emb_layer_norm_before"):
        return "a model with rotary positions and a norm of its embeddings"
    return ""


def to_settings(model: MaskedLM) -> dict[str, Any]:
    """Return the ``config.json`` of a model."""
    return config_to_transformers(model.config, with_head=model.head is not None)


def config_to_transformers(encoder: EncoderConfig, *, with_head: bool) -> dict[str, Any]:
    """Return the ``config.json`` from which ``transformers`` builds the same model."""
    tokenizer = ProteinTokenizer()
    return {
        "model_type": "esm",
        "architectures": ["EsmForMaskedLM" if with_head else "EsmModel"],
        "vocab_size": encoder.vocab_size,
        "hidden_size": encoder.d_model,
        "num_hidden_layers": encoder.n_layers,
        "num_attention_heads": encoder.n_heads,
        "intermediate_size": encoder.d_feedforward,
        "layer_norm_eps": encoder.norm_eps,
        "max_position_embeddings": encoder.trained_length + 2,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": False,
        "token_dropout": encoder.mask_token is not None,
        "mask_token_id": tokenizer.mask,
        "pad_token_id": tokenizer.number["<pad>"],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "tie_word_embeddings": True,
    }


def from_fair_esm(content: Mapping[str, Any], where: str) -> Layout:
    """Return the layout of a fair-esm ``.pt``.

    Raises:
        ModelError: It holds no ESM-2.
    """
    try:
        options, state = content["cfg"]["model"], content["model"]
    except (KeyError, TypeError) as error:
        remedy = "Give an ESM-2, ESM-1b or ESM-1v .pt file of fair-esm"
        raise ModelError("the file holds no options of an ESM-2", where=where, remedy=remedy) from error
    tensors = held(state, where).renamed(strip_fair_esm_prefix)
    return Layout(_config_from_options(options, where), tensors, FAIR_ESM)


def _config_from_options(options: Namespace, where: str) -> EncoderConfig:
    try:
        return config(
            d_model=options.encoder_embed_dim,
            n_layers=options.encoder_layers,
            n_heads=options.encoder_attention_heads,
            token_dropout=options.token_dropout,
        )
    except WRONG_SETTINGS as error:
        raise ModelError(
            f"not a fair-esm file of an ESM-2 ({error})", where=where, remedy="Give an ESM-2 .pt file"
        ) from error


def modern_transformers_name(name: str) -> str:
    """Return the present name in ``EsmForMaskedLM`` for a tensor of a bare ``EsmModel``, or of one with gamma
    and beta.
    """
    name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))
    return f"esm.{name}" if name.startswith(BARE_MODULES) else name


def strip_fair_esm_prefix(name: str) -> str:
    """Strip the prefix of fair-esm's names: ``encoder.sentence_encoder.layers.0...`` and
    ``encoder.lm_head...``.
    """
    return re.sub(r"^encoder\.(sentence_encoder\.)?", "", name)


def tokenizer() -> ProteinTokenizer:
    """Return the tokenizer of the family."""
    return ProteinTokenizer()


def tokenizer_files() -> dict[str, bytes]:
    """Return the files from which ``transformers`` builds its EsmTokenizer."""
    settings = {"tokenizer_class": "EsmTokenizer", "model_max_length": TRAINED_LENGTH}
    return {
        "vocab.txt": "\n".join(ProteinTokenizer().vocabulary).encode(),
        "tokenizer_config.json": json.dumps(settings, indent=2).encode(),
    }
