"""ESM-1b (Rives et al. 2021, PNAS 118:e2016239118) and ESM-1v (Meier et al. 2021), which have 650M weights.

They differ from ESM-2 by learned positions, which end at 1,024 tokens; ESM-1b also has a norm of its
embeddings. The ``transformers`` layout and fair-esm's ``.pt`` are read; the former is written. The first
ESM-1, with sinusoidal positions, is another architecture.

No contact head was ever fitted to ESM-1v, and fair-esm keeps none so that nobody takes it for a predictor of
contacts (https://github.com/facebookresearch/esm/issues/170). A checkpoint in the layout of ``transformers``
still holds one with its initial weights, which is not read.
"""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from biofm.core.errors import ModelError
from biofm.models import esm2
from biofm.models.layout import Layout, NameMap, NewModels, configuration_errors
from biofm.models.tensors import Tensors, held
from biofm.nn import EncoderConfig, MaskedLM

MODEL_TYPE = esm2.MODEL_TYPE
N_POSITIONS = 1026
FIRST_POSITION = 2  # fairseq numbers positions from the number after that of <pad>

HUB_IDS = {
    "esm1b": "facebook/esm1b_t33_650M_UR50S",
    "esm1v-1": "facebook/esm1v_t33_650M_UR90S_1",
    "esm1v-2": "facebook/esm1v_t33_650M_UR90S_2",
    "esm1v-3": "facebook/esm1v_t33_650M_UR90S_3",
    "esm1v-4": "facebook/esm1v_t33_650M_UR90S_4",
    "esm1v-5": "facebook/esm1v_t33_650M_UR90S_5",
}

TRANSFORMERS = replace(
    esm2.TRANSFORMERS,
    modules={
        **esm2.TRANSFORMERS.modules,
        "encoder.embedding.positions": ("esm.embeddings.position_embeddings",),
        "encoder.embedding.norm": ("esm.embeddings.layer_norm",),
    },
)

FAIR_ESM = replace(
    esm2.FAIR_ESM,
    modules={
        **esm2.FAIR_ESM.modules,
        "encoder.embedding.positions": ("embed_positions",),
        "encoder.embedding.norm": ("emb_layer_norm_before",),
    },
)

WRITTEN = TRANSFORMERS
NEW: NewModels | None = None

ARCHITECTURE = "roberta_large"
OTHER_ARCHITECTURES = {
    "protein_bert_base": "the first ESM-1, which has another architecture",
    "msa_transformer": "an MSA Transformer, which reads alignments",
}


def config(
    *,
    d_model: int,
    n_layers: int,
    n_heads: int,
    embedding_norm: bool,
    token_dropout: bool = True,
    n_positions: int = N_POSITIONS,
    **other: Any,
) -> EncoderConfig:
    """Return the configuration of any shape; the published models all have 33 layers, width 1,280 and 20
    heads.
    """
    return esm2.config(
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        token_dropout=token_dropout,
        embedding_norm=embedding_norm,
        positions="learned",
        n_positions=n_positions,
        position_offset=FIRST_POSITION,
        trained_length=n_positions - FIRST_POSITION,
        **other,
    )


def owns(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings are those of an ESM-1b or ESM-1v."""
    return settings.get("model_type") == MODEL_TYPE and not esm2.owns(settings)


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    """Return the layout of a folder.

    Raises:
        ModelError: The settings do not describe an ESM-1b or ESM-1v.
    """
    esm2.refuse_siblings(settings, "an ESM-1b or ESM-1v", where)
    with configuration_errors("an ESM-1b or ESM-1v", where):
        if (positions := settings.get("position_embedding_type", "absolute")) != "absolute":
            raise ValueError(f"position_embedding_type is {positions!r}")
        encoder = config(
            d_model=settings["hidden_size"],
            n_layers=settings["num_hidden_layers"],
            n_heads=settings["num_attention_heads"],
            embedding_norm=settings.get("emb_layer_norm_before") or False,
            token_dropout=settings.get("token_dropout", False),
            d_feedforward=settings["intermediate_size"],
            n_positions=settings.get("max_position_embeddings", N_POSITIONS),
            norm_eps=settings["layer_norm_eps"],
        )
    names = _without_contacts(TRANSFORMERS, encoder)
    return Layout(encoder, tensors.renamed(esm2.modern_transformers_name), names)


def owns_fair_esm(content: Mapping[str, Any]) -> bool:
    """Return whether a fair-esm file is an ESM-1b or ESM-1v. ESM-2, from a later fairseq, has its options
    elsewhere.
    """
    return isinstance(content.get("args"), Namespace)


def from_fair_esm(content: Mapping[str, Any], where: str) -> Layout:
    """Return the layout of a fair-esm ``.pt``.

    Raises:
        ModelError: It is another model of fair-esm, or options are missing.
    """
    options = {name.removeprefix("encoder_"): value for name, value in vars(content["args"]).items()}
    if (architecture := options.get("arch")) != ARCHITECTURE:
        kind = OTHER_ARCHITECTURES.get(
            str(architecture), f"a fair-esm model of architecture {architecture!r}"
        )
        what = f"this is {kind}, not an ESM-1b or ESM-1v"
        raise ModelError(what, where=where, remedy="See `biofm models` for what can be loaded")
    tensors = held(content.get("model"), where).renamed(esm2.strip_fair_esm_prefix)
    with configuration_errors("an ESM-1b or ESM-1v", where):
        encoder = config(
            d_model=options["embed_dim"],
            n_layers=options["layers"],
            n_heads=options["attention_heads"],
            embedding_norm="emb_layer_norm_before.weight" in tensors,  # fair-esm decides by the same name
            token_dropout=options.get("token_dropout", False),
            d_feedforward=options["ffn_embed_dim"],
            n_positions=options["max_positions"] + FIRST_POSITION,
        )
    tied = ("embed_tokens.weight", FAIR_ESM.tied)
    return Layout(encoder, tensors.changed(tied, _without_mask), _without_contacts(FAIR_ESM, encoder))


def to_settings(model: MaskedLM) -> dict[str, Any]:
    """Return the ``config.json`` from which ``transformers`` builds the same model."""
    return esm2.to_settings(model) | {
        "position_embedding_type": "absolute",
        "emb_layer_norm_before": model.config.embedding_norm,
        "max_position_embeddings": model.config.n_positions,
    }


tokenizer = esm2.tokenizer
tokenizer_files = esm2.tokenizer_files


def _without_contacts(names: NameMap, encoder: EncoderConfig) -> NameMap:
    """Return the names for a model; an ESM-1v, which has no norm of its embeddings, has no contact head."""
    if encoder.embedding_norm:
        return names
    modules = {ours: theirs for ours, theirs in names.modules.items() if not ours.startswith("contacts.")}
    return replace(names, modules=modules)


def _without_mask(vectors: Tensor) -> Tensor:
    """Return the token vectors with zeros for <mask>, which training left random. fair-esm does so on
    reading.
    """
    emptied: Tensor = torch.atleast_1d(vectors).clone()
    emptied[tokenizer().mask :] = 0
    return emptied
