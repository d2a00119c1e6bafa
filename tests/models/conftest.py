"""Random models of ``transformers``, and models read from folders as ``biofm.load`` reads them."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import EsmcConfig, EsmcForMaskedLM, EsmConfig, EsmForMaskedLM, PreTrainedModel

from biofm.models import Checkpoint, files_of, read_checkpoint, write_checkpoint

ReadFolder = Callable[[Path], Checkpoint]
State = dict[str, Tensor]
WriteLayout = Callable[[Path, EsmcForMaskedLM], Path]

# The 35M model's head dim of 24.
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 192}

# Where the esm package's own repositories keep an ESM C.
ESMC_REPOSITORY = "data/weights/esmc_300m_2024_12_v0.pth"

# What fair-esm calls the modules of an ESM-1b, an ESM-1v or an ESM-2, one replacement after the other.
FAIR_ESM_NAMES = {
    "esm.embeddings.word_embeddings": "encoder.sentence_encoder.embed_tokens",
    "esm.embeddings.position_embeddings": "encoder.sentence_encoder.embed_positions",
    "esm.embeddings.layer_norm": "encoder.sentence_encoder.emb_layer_norm_before",
    "esm.encoder.emb_layer_norm_after": "encoder.sentence_encoder.emb_layer_norm_after",
    "esm.encoder.layer.": "encoder.sentence_encoder.layers.",
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.self.rotary_embeddings": "self_attn.rot_emb",
    "attention.output.dense": "self_attn.out_proj",
    "attention.LayerNorm": "self_attn_layer_norm",
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "LayerNorm": "final_layer_norm",
    "lm_head.decoder.weight": "lm_head.weight",
    "lm_head.": "encoder.lm_head.",
    "esm.contact_head": "contact_head",
}

# What a name of ``transformers`` is in the .pth of the esm package; and what such a name is once fused.
PTH_NAMES = {
    "esmc.layers.": "transformer.blocks.",
    "esmc.embed_tokens": "embed",
    "esmc.norm": "transformer.norm",
    "input_layernorm": "attn.layernorm_qkv.0",
    "self_attn.qkv": "attn.layernorm_qkv.1",
    "self_attn.q_norm": "attn.q_ln",
    "self_attn.k_norm": "attn.k_ln",
    "self_attn.o_proj": "attn.out_proj",
    "post_attention_layernorm": "ffn.0",
    "mlp.gate_up": "ffn.1",
    "mlp.down_proj": "ffn.3",
    "lm_head.dense": "sequence_head.0",
    "lm_head.layer_norm": "sequence_head.2",
    "lm_head.decoder": "sequence_head.3",
}
FUSED_NAMES = {
    "transformer.": "esmc.transformer.",
    "embed.": "esmc.embed.",
    "attn.layernorm_qkv.0.": "attn.layernorm_qkv.layer_norm_",
    "attn.layernorm_qkv.1.": "attn.layernorm_qkv.",
    "ffn.0.": "ffn.layer_norm_",
    "ffn.1.": "ffn.fc1_",
    "ffn.3.": "ffn.fc2_",
    "sequence_head.": "lm_head.",
}


@pytest.fixture
def read_folder() -> ReadFolder:
    """Opens the files at a path and reads the model in them."""

    def read(path: Path) -> Checkpoint:
        with ExitStack() as stack:
            files = {file.name: stack.enter_context(file.open("rb")) for file in files_of(path)}
            return read_checkpoint(files, str(path))

    return read


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[Checkpoint], Path]:
    """Writes a model's files into a folder of their own."""

    def write(checkpoint: Checkpoint) -> Path:
        folder = tmp_path / "written"
        folder.mkdir()
        for name, content in write_checkpoint(checkpoint).items():
            (folder / name).write_bytes(content)
        return folder

    return write


@pytest.fixture
def original() -> EsmForMaskedLM:
    """An ESM-2 whose every weight is random, biases and norms too."""
    options: dict[str, Any] = {
        "vocab_size": 33,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "mask_token_id": 32,
        "pad_token_id": 1,
        "layer_norm_eps": 1e-5,
        "emb_layer_norm_before": False,
        "max_position_embeddings": 1026,
    }
    model = EsmForMaskedLM(EsmConfig(**options, **SHAPE)).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.1 * torch.randn(weight.shape)
    return model


@pytest.fixture
def esmc_original() -> EsmcForMaskedLM:
    """An ESM C whose every weight is random, biases and norms too."""
    shape = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 2}
    model = EsmcForMaskedLM(EsmcConfig(**shape)).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.1 * torch.randn(weight.shape)
    return model


@pytest.fixture
def esmc_pth_state(esmc_original: EsmcForMaskedLM) -> State:
    """Return the tensors of the ESM C under the names of the esm package."""
    return pth_state(esmc_original)


@pytest.fixture
def write_esmc(esmc_original: EsmcForMaskedLM) -> Callable[[str, Path], Path]:
    """Return what writes the ESM C in the layout of this name, and returns the path to read."""
    return lambda layout, folder: ESMC_LAYOUTS[layout](folder, esmc_original)


@pytest.fixture
def published_state(original: EsmForMaskedLM) -> State:
    """The original's tensors under the names that the published checkpoints use."""
    state = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    frequencies = state.pop("esm.rotary_embeddings.inv_freq")
    for layer in range(SHAPE["num_hidden_layers"]):
        place = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
        state[place] = frequencies.clone()
    return state | {"esm.embeddings.position_ids": torch.arange(1026)[None]}


@pytest.fixture
def esm_folder(tmp_path: Path, original: EsmForMaskedLM, published_state: State) -> Path:
    """An ESM-2 as it is published: ``config.json`` and ``model.safetensors``."""
    folder = tmp_path / "esm2"
    original.config.save_pretrained(folder)
    save_file(published_state, folder / "model.safetensors")
    return folder


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str]) -> State:
    new = {}
    for name, tensor in state.items():
        for theirs, other in names.items():
            name = name.replace(theirs, other)
        new[name] = tensor
    return new


def pth_state(original: EsmcForMaskedLM) -> State:
    """The original's weights as the esm package has them: q, k and v in one, gate and up in one."""
    state = dict(original.state_dict())
    for layer in range(original.config.num_hidden_layers):
        for parts, whole in (
            (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.qkv"),
            (("mlp.gate_proj", "mlp.up_proj"), "mlp.gate_up"),
        ):
            tensors = [state.pop(f"esmc.layers.{layer}.{part}.weight") for part in parts]
            state[f"esmc.layers.{layer}.{whole}.weight"] = torch.cat(tensors)
    return renamed(state, PTH_NAMES)


def fused_state(original: EsmcForMaskedLM) -> State:
    state = renamed(pth_state(original), FUSED_NAMES)
    for layer in range(original.config.num_hidden_layers):
        for part in ("attn.layernorm_qkv", "ffn"):
            nothing = torch.empty(0, dtype=torch.uint8)
            state[f"esmc.transformer.blocks.{layer}.{part}._extra_state"] = nothing
    return state


def write_repository(folder: Path, original: EsmcForMaskedLM) -> Path:
    (folder / ESMC_REPOSITORY).parent.mkdir(parents=True)
    torch.save(pth_state(original), folder / ESMC_REPOSITORY)
    (folder / "config.json").write_text("{}")
    return folder


def write_fused_settings(folder: Path, original: EsmcForMaskedLM) -> Path:
    config = original.config
    settings = {
        "architectures": ["ESMCForMaskedLM"],
        "model_type": "esmc",
        "d_model": config.hidden_size,
        "n_heads": config.num_attention_heads,
        "n_layers": config.num_hidden_layers,
        "vocab_size": 64,
        "mask_token_id": 32,
        "pad_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def write_fused(folder: Path, original: EsmcForMaskedLM) -> Path:
    save_file(fused_state(original), folder / "model.safetensors")
    return write_fused_settings(folder, original)


def write_fused_shards(folder: Path, original: EsmcForMaskedLM) -> Path:
    state = fused_state(original)
    weight_map: dict[str, str] = {}
    for number in range(2):
        shard = f"model-0000{number + 1}-of-00002.safetensors"
        part = dict(list(state.items())[number::2])
        save_file(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return write_fused_settings(folder, original)


def write_fused_later(folder: Path, original: EsmcForMaskedLM) -> Path:
    """The tensors of the esm package since 3.4 in memory, with the configuration that it writes."""
    original.config.save_pretrained(folder)
    save_file(fused_state(original), folder / "model.safetensors")
    return folder


def write_transformers_earlier(folder: Path, original: EsmcForMaskedLM) -> Path:
    original.save_pretrained(folder)
    return write_fused_settings(folder, original)


def write_transformers(folder: Path, original: PreTrainedModel) -> Path:
    original.save_pretrained(folder)
    return folder


def write_transformers_shards(folder: Path, original: PreTrainedModel) -> Path:
    original.save_pretrained(folder, max_shard_size="100KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def without_head(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if "head" not in name}


def bare_transformers(folder: Path, original: EsmcForMaskedLM) -> Path:
    original.esmc.save_pretrained(folder)
    return folder


def bare_fused(folder: Path, original: EsmcForMaskedLM) -> Path:
    save_file(bare_fused_state(original), folder / "model.safetensors")
    return write_fused_settings(folder, original)


def lone_file(state: Callable[[EsmcForMaskedLM], State]) -> WriteLayout:
    def write(folder: Path, original: EsmcForMaskedLM) -> Path:
        torch.save(state(original), folder / "mine.pth")
        return folder / "mine.pth"

    return write


def bare_fused_state(original: EsmcForMaskedLM) -> State:
    """Return the state of the esm package's ``EsmcModel``."""
    state = without_head(fused_state(original))
    return {name.removeprefix("esmc."): tensor for name, tensor in state.items()}


ESMC_LAYOUTS = {
    "pth": lone_file(pth_state),
    "fused pth": lone_file(fused_state),
    "transformers pth": lone_file(lambda original: dict(original.state_dict())),
    "repository": write_repository,
    "fused": write_fused,
    "fused shards": write_fused_shards,
    "fused, later configuration": write_fused_later,
    "transformers, earlier configuration": write_transformers_earlier,
    "transformers": write_transformers,
    "transformers shards": write_transformers_shards,
    "bare pth": lone_file(lambda original: without_head(pth_state(original))),
    "bare fused pth": lone_file(bare_fused_state),
    "bare fused": bare_fused,
    "bare transformers": bare_transformers,
}
