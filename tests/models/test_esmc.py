"""An ESM C gives the same model from every layout that its weights come in, and is written in one of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, EsmcForMaskedLM, EsmcModel

from biofm.core.errors import ModelError
from biofm.models import Checkpoint, describe, esmc, files_of
from biofm.nn import MaskedLM, initialise, pack

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]
State = dict[str, Tensor]

TOKENS = torch.tensor([0, 5, 6, 32, 12, 31, 20, 2])
REPOSITORY = "data/weights/esmc_300m_2024_12_v0.pth"

# What the tensors of ``transformers`` are called elsewhere; in one of our three names for a layout's own.
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


def renamed(state: State, names: Mapping[str, str]) -> State:
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


def write_pth(folder: Path, original: EsmcForMaskedLM) -> Path:
    torch.save(pth_state(original), folder / "mine.pth")
    return folder / "mine.pth"


def write_repository(folder: Path, original: EsmcForMaskedLM) -> Path:
    (folder / REPOSITORY).parent.mkdir(parents=True)
    torch.save(pth_state(original), folder / REPOSITORY)
    (folder / "config.json").write_text("{}")
    return folder


def write_fused_settings(folder: Path, original: EsmcForMaskedLM, **changes: Any) -> Path:
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
    } | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
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


def write_transformers(folder: Path, original: EsmcForMaskedLM) -> Path:
    original.save_pretrained(folder)
    return folder


def write_transformers_shards(folder: Path, original: EsmcForMaskedLM) -> Path:
    original.save_pretrained(folder, max_shard_size="500KB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


WRITERS = [
    write_pth,
    write_repository,
    write_fused,
    write_fused_shards,
    write_transformers,
    write_transformers_shards,
]


def without_head(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if "head" not in name}


@pytest.mark.parametrize("write", WRITERS)
def test_every_layout_gives_the_same_model(
    write: Callable[[Path, EsmcForMaskedLM], Path],
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    checkpoint = read_folder(write(tmp_path, esmc_original))
    assert checkpoint.family == "ESM C"
    assert checkpoint.unused == ()
    expected = esmc_original(TOKENS[None]).logits[0]
    found = checkpoint.module(pack([TOKENS]))
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())
    state = checkpoint.module.state_dict()
    plain = write_transformers(tmp_path / "plain", esmc_original)
    assert all(
        torch.equal(state[name], weight) for name, weight in read_folder(plain).module.state_dict().items()
    )


def bare_transformers(folder: Path, original: EsmcForMaskedLM) -> Path:
    original.esmc.save_pretrained(folder)
    return folder


def bare_fused(folder: Path, original: EsmcForMaskedLM) -> Path:
    state = without_head(fused_state(original))
    bare = {name.removeprefix("esmc."): tensor for name, tensor in state.items()}
    save_file(bare, folder / "model.safetensors")
    return write_fused_settings(folder, original)


def bare_pth(folder: Path, original: EsmcForMaskedLM) -> Path:
    torch.save(without_head(pth_state(original)), folder / "bare.pth")
    return folder / "bare.pth"


@pytest.mark.parametrize("write", [bare_transformers, bare_fused, bare_pth])
def test_an_encoder_without_its_head_is_read_as_such(
    write: Callable[[Path, EsmcForMaskedLM], Path],
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    checkpoint = read_folder(write(tmp_path, esmc_original))
    assert checkpoint.unused == ()
    assert not describe("mine", checkpoint, "", ()).has_head
    theirs = AutoModel.from_pretrained(write_folder(checkpoint)).eval()
    assert isinstance(theirs, EsmcModel)
    expected = esmc_original.esmc(TOKENS[None]).last_hidden_state
    assert torch.equal(theirs(TOKENS[None]).last_hidden_state, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_bit_equal_after_writing(
    dtype: torch.dtype,
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    checkpoint = read_folder(write_pth(tmp_path, esmc_original.to(dtype)))
    again = read_folder(write_folder(checkpoint))
    assert again.module.config == checkpoint.module.config
    assert {weight.dtype for weight in again.module.parameters()} == {dtype}
    state = checkpoint.module.state_dict()
    assert again.module.state_dict().keys() == state.keys()
    assert all(torch.equal(state[name], weight) for name, weight in again.module.state_dict().items())


def test_transformers_gets_the_same_model_and_tokens_from_what_we_write(
    esmc_original: EsmcForMaskedLM, tmp_path: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = read_folder(write_pth(tmp_path, esmc_original))
    folder = write_folder(checkpoint)
    theirs, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert torch.equal(theirs.eval()(TOKENS[None]).logits, esmc_original(TOKENS[None]).logits)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("MKT|<mask>")["input_ids"] == checkpoint.tokenizer.encode("MKT|<mask>").tolist()
    assert tokenizer.model_max_length == 2048


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda state: {},
            "not the weights of an ESM C: there is no embed.weight. Give the .pth of an ESM C",
        ),
        (
            lambda state: {"encoder.sequence_embed.weight": torch.ones(64, 1536)},  # as in an ESM3
            "not the weights of an ESM C: there is no embed.weight",
        ),
        (lambda state: list(state), "holds no tensors by name"),
        (lambda state: {"model": state}, "its entry 'model' is not a tensor"),
        (lambda state: {"embed.weight": torch.ones(64, 100)}, "(a width of 100 is no multiple of 64)"),
        (lambda state: {"embed.weight": torch.tensor(1.0)}, "(a width of 1 is no multiple of 64)"),
        (lambda state: {"embed.weight": torch.ones(64, 128)}, "(n_layers is 0; it must be a whole number"),
        (
            lambda state: state | {"embed.weight": torch.ones(33, 128)},
            "tensor embed.weight has shape [33, 128] where [64, 128] belongs",
        ),
        (
            lambda state: {name: x for name, x in state.items() if "blocks.1" not in name},
            "tensor transformer.blocks.1.attn.layernorm_qkv.0.weight is missing",
        ),
        (
            lambda state: state | {"transformer.blocks.x": torch.ones(1)},
            "tensor transformer.blocks.3.attn.layernorm_qkv.0.weight is missing",
        ),
        (
            lambda state: {name: x for name, x in state.items() if name != "sequence_head.3.bias"},
            "tensor sequence_head.3.bias is missing",
        ),
    ],
    ids=[
        "empty",
        "ESM3",
        "list",
        "nested",
        "width",
        "number",
        "no blocks",
        "33 rows",
        "a block missing",
        "a block too many",
        "bias missing",
    ],
)
def test_a_pth_file_of_another_kind_says_so(
    change: Callable[[State], Any],
    what: str,
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    torch.save(change(pth_state(esmc_original)), tmp_path / "mine.pth")
    with pytest.raises(ModelError) as caught:
        read_folder(tmp_path / "mine.pth")
    assert what in str(caught.value)
    assert caught.value.where == str(tmp_path / "mine.pth")


FUSED_FAULTS = [
    ({"n_layers": ...}, "the configuration lacks 'n_layers'. Download it again"),
    ({"n_heads": 5}, "not the configuration of an ESM C (d_model 128 does not divide by n_heads 5)"),
    ({"d_model": "128"}, "not the configuration of an ESM C ("),
    ({"n_layers": None}, "not the configuration of an ESM C ("),
    ({"vocab_size": 20}, "(vocab_size is 20; the alphabet alone has 33 tokens)"),
    ({"n_layers": 4}, "tensor esmc.transformer.blocks.3.attn.layernorm_qkv.layer_norm_weight is missing"),
    ({"vocab_size": 65}, "tensor esmc.embed.weight has shape [64, 128] where [65, 128] belongs"),
]
TRANSFORMERS_FAULTS = [
    ({"hidden_size": ...}, "the configuration lacks 'hidden_size'. Download it again"),
    ({"hidden_act": "gelu"}, "(hidden_act is 'gelu'; every ESM C has 'silu')"),
    ({"attention_bias": True}, "(attention_bias is True; every ESM C has False)"),
    ({"rope_parameters": {"rope_theta": 5000.0}}, "(rope_theta is 5000.0; every ESM C has 10000.0)"),
    ({"rope_parameters": [1]}, "not the configuration of an ESM C ("),
    ({"max_position_embeddings": 0}, "(trained_length is 0; it must be a whole number, at least 1)"),
    ({"intermediate_size": 256}, "mlp.gate_proj.weight has shape [512, 128] where [256, 128] belongs"),
]


@pytest.mark.parametrize(
    ("write", "changes", "what"),
    [
        *((write_fused, *fault) for fault in FUSED_FAULTS),
        *((write_transformers, *fault) for fault in TRANSFORMERS_FAULTS),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_wrong_configuration_is_named(
    write: Callable[[Path, EsmcForMaskedLM], Path],
    changes: dict[str, Any],
    what: str,
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    folder = write(tmp_path, esmc_original)
    settings = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
    with pytest.raises(ModelError) as caught:
        read_folder(folder)
    assert what in str(caught.value)
    assert caught.value.where == str(folder)


def test_safetensors_go_before_a_pth_and_several_pth_are_too_many(
    esmc_original: EsmcForMaskedLM, tmp_path: Path
) -> None:
    write_repository(tmp_path, esmc_original)
    assert [file.name for file in files_of(tmp_path)] == [Path(REPOSITORY).name]
    (tmp_path / "data" / "weights" / "esmc_600m_2024_12_v0.pth").touch()
    with pytest.raises(ModelError, match=r"the folder has several \.pth files\. Name one of them$"):
        files_of(tmp_path)
    write_fused(tmp_path, esmc_original)
    assert [file.name for file in files_of(tmp_path)] == ["config.json", "model.safetensors"]


def test_it_learns_one_batch_by_heart() -> None:
    model = MaskedLM(esmc.config(d_model=24, n_layers=2, n_heads=2, d_feedforward=64))
    initialise(model, seed=1)
    targets = [torch.randint(4, 24, (length,)) for length in (5, 16, 16, 30)]
    masked = [tokens.clone() for tokens in targets]
    for tokens in masked:
        tokens[1::4] = esmc.tokenizer().mask
    batch, wanted = pack(masked), torch.cat(targets)
    chosen = batch.tokens == esmc.tokenizer().mask
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(100):
        loss = F.cross_entropy(model(batch)[chosen], wanted[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    assert (model(batch)[chosen].argmax(-1) == wanted[chosen]).all()
