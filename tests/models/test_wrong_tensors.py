"""A checkpoint whose tensors do not make the model: each fault names the tensor or the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import EsmForMaskedLM

from biofm.core import ModelError
from biofm.models import Checkpoint, new_model

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]
State = dict[str, Tensor]

REMEDY = "The files are incomplete or from another model: download them again, with their own configuration"
KEY = "esm.encoder.layer.1.attention.self.key.weight"
ROTARY = "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"
TIED = "lm_head.decoder.weight"


def fault_of(read_folder: ReadFolder, path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_folder(path)
    return caught.value


@pytest.mark.parametrize(
    ("name", "change", "what"),
    [
        (KEY, None, f"tensor {KEY} is missing"),
        ("lm_head.dense.weight", None, "tensor lm_head.dense.weight is missing"),
        ("lm_head.bias", None, "tensor lm_head.bias is missing"),
        (KEY, lambda x: x[:, :-1], f"tensor {KEY} has shape [48, 47] instead of [48, 48]"),
        (KEY, lambda x: x[None], f"tensor {KEY} has shape [1, 48, 48] instead of [48, 48]"),
        (KEY, lambda x: x.long(), f"tensor {KEY} holds torch.int64, not floating-point numbers"),
        (ROTARY, lambda x: x[:5], f"tensor {ROTARY} has shape [5] instead of [12]"),
        (
            TIED,
            lambda x: x + 1,
            f"tensor {TIED} differs from the token vectors, to which this architecture ties it",
        ),
    ],
    ids=["missing", "head missing", "bias missing", "narrow", "deep", "integers", "frequencies", "untied"],
)
def test_a_tensor_that_does_not_fit_is_named(
    name: str,
    change: Callable[[Tensor], Tensor] | None,
    what: str,
    esm_folder: Path,
    published_state: State,
    read_folder: ReadFolder,
) -> None:
    tensor = published_state.pop(name)
    if change:
        published_state[name] = change(tensor).contiguous()
    save_file(published_state, esm_folder / "model.safetensors")
    assert str(fault_of(read_folder, esm_folder)) == f"{esm_folder}: {what}. {REMEDY}"


def test_a_layer_that_the_configuration_adds_is_missing(esm_folder: Path, read_folder: ReadFolder) -> None:
    settings = json.loads((esm_folder / "config.json").read_text())
    (esm_folder / "config.json").write_text(json.dumps(settings | {"num_hidden_layers": 4}))
    error = fault_of(read_folder, esm_folder)
    assert error.what == "tensor esm.encoder.layer.3.attention.LayerNorm.weight is missing"


def test_a_tensor_of_our_own_layout_is_named(read_folder: ReadFolder, write_folder: WriteFolder) -> None:
    checkpoint = new_model("nano", trained_length=64, seed=1)
    folder = write_folder(checkpoint)
    state = checkpoint.module.state_dict()
    del state["encoder.blocks.2.attention.qkv.weight"]
    save_file(state, folder / "model.safetensors")
    assert fault_of(read_folder, folder).what == "tensor encoder.blocks.2.attention.qkv.weight is missing"


def test_a_missing_shard_is_named(original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder) -> None:
    original.save_pretrained(tmp_path, max_shard_size="100KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    assert str(fault_of(read_folder, tmp_path)) == (
        f"model.safetensors.index.json: shards are missing: {shard.name}. Download them as well"
    )


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": [1]}}', '{"weight_map": {"a": 1}}']
)
def test_an_index_that_is_none_is_named(content: str, esm_folder: Path, read_folder: ReadFolder) -> None:
    (esm_folder / "model.safetensors.index.json").write_text(content)
    assert str(fault_of(read_folder, esm_folder)) == (
        "model.safetensors.index.json: not the index of a sharded checkpoint. Download it again"
    )


@pytest.mark.parametrize("kept", [0, 4, 300, -1], ids=["nothing", "length", "header", "all but a byte"])
def test_truncated_safetensors_are_damaged(kept: int, esm_folder: Path, read_folder: ReadFolder) -> None:
    weights = esm_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    error = fault_of(read_folder, esm_folder)
    assert error.what.startswith("damaged, or not a safetensors file (")
    assert (error.where, error.remedy) == ("model.safetensors", "Download it again")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([torch.ones(2)], "the file holds no named tensors"),
        (torch.ones(2), "the file holds no named tensors"),
        ({"state_dict": {}}, "its entry 'state_dict' is not a tensor"),
        ({3: torch.ones(2)}, "its entry 3 is not a tensor"),
    ],
    ids=["list", "tensor", "nested", "numbered"],
)
def test_a_pickle_of_something_else_says_so(
    content: Any, what: str, esm_folder: Path, read_folder: ReadFolder
) -> None:
    (esm_folder / "model.safetensors").unlink()
    torch.save(content, esm_folder / "pytorch_model.bin")
    assert str(fault_of(read_folder, esm_folder)) == (
        f"pytorch_model.bin: {what}. Save the model's state_dict alone, or get the published file"
    )


def test_a_tensor_that_repeats_a_few_stored_numbers_is_refused(
    esm_folder: Path, published_state: State, read_folder: ReadFolder
) -> None:
    """A pickle of a kilobyte could ask for more memory than there is."""
    (esm_folder / "model.safetensors").unlink()
    torch.save(published_state | {KEY: torch.zeros(1, 1).expand(48, 48)}, esm_folder / "pytorch_model.bin")
    assert fault_of(read_folder, esm_folder).what == (
        f"tensor {KEY} should have 9,216 bytes, but the file holds fewer"
    )
