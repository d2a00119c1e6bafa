"""ESM C: a model of 300M, 600M or 6B weights that is pre-norm, with rotary positions (ESM Team 2024).

It uses SwiGLU, QK norm and a head that is not tied. Three layouts are read and distinguished by the names of
their tensors: that of ``transformers``, which the esm package also writes since its version 3.4; that of this
package's models in memory and of its first safetensors, where norms are fused with the projections after
them; and that of its earlier models. Each is read from a folder, whose configuration has the names of either
package, and from a ``.pth``, which has no configuration. The first is written.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from biofm.core.errors import ModelError
from biofm.modalities import ESMC_ALPHABET, ProteinTokenizer
from biofm.models.layout import WRONG_SETTINGS, Layout, NameMap, NewModels, configuration_errors
from biofm.models.tensors import Tensors, held
from biofm.nn import EncoderConfig, MaskedLM

MODEL_TYPE = "esmc"
TRAINED_LENGTH = 2048
N_TOKEN_VECTORS = 64  # for 33 tokens: the number is rounded up, which makes the products faster
D_HEAD = 64  # the same in every published size

HUB_IDS = {
    "esmc-300m": "biohub/ESMC-300M",
    "esmc-600m": "biohub/ESMC-600M",
    "esmc-6b": "biohub/ESMC-6B",
}

# The names of ``transformers``, and those of the first configurations of the esm package.
EARLIER = {"hidden_size": "d_model", "num_hidden_layers": "n_layers", "num_attention_heads": "n_heads"}

# Settings that every ESM C has, although a configuration could state others.
COMMON = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False}
ROPE = {"rope_theta": 10000.0, "rope_type": "default"}

BARE_MODULES = ("embed_tokens.", "layers.", "norm.", "embed.", "transformer.")

COMPUTED = {"encoder.rotary.frequencies": ()}  # no layout stores it
IGNORED = ("_extra_state", ".inv_freq")

TRANSFORMERS = NameMap(
    modules={
        "encoder.embedding.tokens": ("esmc.embed_tokens",),
        "encoder.norm": ("esmc.norm",),
        "head": ("lm_head.decoder",),
        "head.dense": ("lm_head.dense",),
        "head.norm": ("lm_head.layer_norm",),
    },
    block_prefix="esmc.layers.{layer}.",
    block={
        "attention_norm": ("input_layernorm",),
        "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.q_norm": ("self_attn.q_norm",),
        "attention.k_norm": ("self_attn.k_norm",),
        "attention.out": ("self_attn.o_proj",),
        "feedforward_norm": ("post_attention_layernorm",),
        "feedforward.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
        "feedforward.down": ("mlp.down_proj",),
    },
    optional=COMPUTED,
    ignored=IGNORED,
)

FUSED = NameMap(
    modules={
        "encoder.embedding.tokens": ("esmc.embed",),
        "encoder.norm": ("esmc.transformer.norm",),
        "head": ("lm_head.3",),
        "head.dense": ("lm_head.0",),
        "head.norm": ("lm_head.2",),
    },
    block_prefix="esmc.transformer.blocks.{layer}.",
    block={
        "attention_norm": ("attn.layernorm_qkv.layer_norm_",),
        "attention.qkv": ("attn.layernorm_qkv",),
        "attention.q_norm": ("attn.q_ln",),
        "attention.k_norm": ("attn.k_ln",),
        "attention.out": ("attn.out_proj",),
        "feedforward_norm": ("ffn.layer_norm_",),
        "feedforward.gate_up": ("ffn.fc1_",),
        "feedforward.down": ("ffn.fc2_",),
    },
    optional=COMPUTED,
    ignored=IGNORED,
)

PTH = NameMap(
    modules={
        "encoder.embedding.tokens": ("embed",),
        "encoder.norm": ("transformer.norm",),
        "head": ("sequence_head.3",),
        "head.dense": ("sequence_head.0",),
        "head.norm": ("sequence_head.2",),
    },
    block_prefix="transformer.blocks.{layer}.",
    block={
        "attention_norm": ("attn.layernorm_qkv.0",),
        "attention.qkv": ("attn.layernorm_qkv.1",),
        "attention.q_norm": ("attn.q_ln",),
        "attention.k_norm": ("attn.k_ln",),
        "attention.out": ("attn.out_proj",),
        "feedforward_norm": ("ffn.0",),
        "feedforward.gate_up": ("ffn.1",),
        "feedforward.down": ("ffn.3",),
    },
    optional=COMPUTED,
    ignored=IGNORED,
)

WRITTEN = TRANSFORMERS
NEW: NewModels | None = None


def config(*, d_model: int, n_layers: int, n_heads: int, **other: Any) -> EncoderConfig:
    """Return the configuration of an ESM C of any shape; the published ones differ only in these three
    numbers.
    """
    shape = {
        "vocab_size": N_TOKEN_VECTORS,
        "d_feedforward": math.ceil(8 * d_model / (3 * 256)) * 256,  # 8/3 of the width, rounded up
        "trained_length": TRAINED_LENGTH,
    }
    return EncoderConfig(
        **(shape | other),
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        norm_bias=False,
        block_norm_bias=True,
        linear_bias=False,
        feedforward="swiglu",
        qk_norm=True,
        residual_scale=math.sqrt(n_layers / 36),
        tied_head=False,
    )


def owns(settings: Mapping[str, Any]) -> bool:
    """Return whether the settings are those of an ESM C."""
    return settings.get("model_type") == MODEL_TYPE


def from_folder(settings: Mapping[str, Any], tensors: Tensors, where: str) -> Layout:
    """Return the layout of a folder.

    Raises:
        ModelError: The settings do not describe an ESM C.
    """
    tensors, names = _told_by_names(tensors)
    with configuration_errors("an ESM C", where):
        encoder = _read_settings(settings)
    return Layout(encoder, tensors, names)


def from_pth(content: Any, where: str) -> Layout:
    """Return the layout of a ``.pth`` of the esm package, whose shapes tell the size.

    Raises:
        ModelError: The file does not hold the weights of an ESM C.
    """
    tensors, names = _told_by_names(held(content, where))
    remedy = "Give the .pth of an ESM C of the esm package; its other models are not read"
    vectors = f"{names.modules['encoder.embedding.tokens'][0]}.weight"
    if vectors not in tensors:
        raise ModelError(f"not the weights of an ESM C: there is no {vectors}", where=where, remedy=remedy)
    width = tensors[vectors].shape[-1:].numel()
    before, _, _ = names.block_prefix.partition("{layer}")
    n_layers = len({name[len(before) :].split(".")[0] for name in tensors if name.startswith(before)})
    try:
        if width % D_HEAD:
            raise ValueError(f"a width of {width} is no multiple of {D_HEAD}")
        encoder = config(d_model=width, n_layers=n_layers, n_heads=width // D_HEAD)
    except WRONG_SETTINGS as error:
        raise ModelError(f"not the weights of an ESM C ({error})", where=where, remedy=remedy) from error
    return Layout(encoder, tensors, names)


def to_settings(model: MaskedLM) -> dict[str, Any]:
    """Return the ``config.json`` from which ``transformers`` builds the same model."""
    encoder, number = model.config, tokenizer().number
    return COMMON | {
        "model_type": MODEL_TYPE,
        "architectures": ["EsmcModel" if model.head is None else "EsmcForMaskedLM"],
        "vocab_size": encoder.vocab_size,
        "hidden_size": encoder.d_model,
        "num_hidden_layers": encoder.n_layers,
        "num_attention_heads": encoder.n_heads,
        "intermediate_size": encoder.d_feedforward,
        "max_position_embeddings": encoder.trained_length,
        "rope_parameters": ROPE,
        "bos_token_id": number["<cls>"],
        "pad_token_id": number["<pad>"],
        "eos_token_id": number["<eos>"],
        "mask_token_id": number["<mask>"],
    }


def tokenizer() -> ProteinTokenizer:
    """Return the tokenizer of the family."""
    return ProteinTokenizer(ESMC_ALPHABET)


def tokenizer_files() -> dict[str, bytes]:
    """Return the file from which ``transformers`` builds its EsmcTokenizer; its alphabet is built in."""
    settings = {"tokenizer_class": "EsmcTokenizer", "model_max_length": TRAINED_LENGTH}
    return {"tokenizer_config.json": json.dumps(settings, indent=2).encode()}


def _told_by_names(tensors: Tensors) -> tuple[Tensors, NameMap]:
    """Return the tensors and their layout; the tensors of a bare encoder get the names of a whole model."""
    if any(name.endswith("embed_tokens.weight") for name in tensors):
        names = TRANSFORMERS
    elif any(name.endswith(".layer_norm_weight") for name in tensors):
        names = FUSED
    else:
        return tensors, PTH
    return tensors.renamed(_whole_name), names


def _read_settings(settings: Mapping[str, Any]) -> EncoderConfig:
    settings = {name: settings[old] for name, old in EARLIER.items() if old in settings} | dict(settings)
    rope = ROPE | (settings.get("rope_parameters") or {})
    for name, value in (COMMON | ROPE).items():
        if (found := (settings | rope).get(name, value)) != value:
            raise ValueError(f"{name} is {found!r}; every ESM C has {value!r}")
    size = settings.get("intermediate_size")  # null or absent if it follows from the width
    return config(
        d_model=settings["hidden_size"],
        n_layers=settings["num_hidden_layers"],
        n_heads=settings["num_attention_heads"],
        trained_length=settings.get("max_position_embeddings", TRAINED_LENGTH),
        vocab_size=_vocab_size(settings),
        **({} if size is None else {"d_feedforward": size}),
    )


def _vocab_size(settings: Mapping[str, Any]) -> int:
    rows: int = settings.get("vocab_size", N_TOKEN_VECTORS)
    if rows < len(ESMC_ALPHABET):
        raise ValueError(f"vocab_size is {rows}; the alphabet alone has {len(ESMC_ALPHABET)} tokens")
    return rows


def _whole_name(name: str) -> str:
    """Return the name in a model with a head for a tensor of a bare encoder."""
    return f"esmc.{name}" if name.startswith(BARE_MODULES) else name
