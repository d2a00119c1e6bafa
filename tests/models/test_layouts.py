"""An ESM-2 gives the same logits and contacts from every layout that its weights come in."""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import EsmForMaskedLM, EsmModel

from biofm.models import Checkpoint, describe
from biofm.nn import RotaryAngles, pack
from tests.models.conftest import FAIR_ESM_NAMES, renamed

ReadFolder = Callable[[Path], Checkpoint]
State = dict[str, Tensor]

TOKENS = torch.tensor([0, 5, 6, 32, 12, 20, 2])


def logits_agree(checkpoint: Checkpoint, original: EsmForMaskedLM) -> bool:
    expected = original(TOKENS[None]).logits[0]
    found = checkpoint.module(pack([TOKENS]))
    return bool((found - expected).abs().max() < 2e-5 * expected.abs().max())


def contacts_agree(checkpoint: Checkpoint, original: EsmForMaskedLM) -> bool:
    original.set_attn_implementation("eager")  # the one that gives maps away
    expected = original.predict_contacts(TOKENS[None], torch.ones(1, len(TOKENS)))[0]
    assert checkpoint.module.contacts is not None
    (found,) = checkpoint.module.contacts(checkpoint.module.encoder, pack([TOKENS]))
    return bool((found - expected).abs().max() < 1e-5)


def write_pickle(folder: Path, state: Mapping[str, Tensor]) -> Path:
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    return folder


def write_pickles(folder: Path, state: Mapping[str, Tensor]) -> Path:
    (folder / "model.safetensors").unlink()
    weight_map: dict[str, str] = {}
    for number, parity in ((1, 0), (2, 1)):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        part = dict(list(state.items())[parity::2])
        torch.save(part, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def write_fair_esm(folder: Path, state: Mapping[str, Tensor]) -> Path:
    theirs = renamed(state, FAIR_ESM_NAMES)
    del theirs["esm.embeddings.position_ids"]
    options = Namespace(
        arch="roberta_large",
        encoder_embed_dim=48,
        encoder_layers=3,
        encoder_attention_heads=2,
        token_dropout=True,
    )
    torch.save({"args": None, "cfg": {"_name": None, "model": options}, "model": theirs}, folder / "esm2.pt")
    return folder / "esm2.pt"


def as_fair_esm_publishes(folder: Path, state: Mapping[str, Tensor]) -> Path:
    """The contact head lies in a file of its own."""
    head = {name: tensor for name, tensor in state.items() if "contact_head" in name}
    path = write_fair_esm(folder, {name: tensor for name, tensor in state.items() if name not in head})
    theirs = {name.removeprefix("esm."): tensor for name, tensor in head.items()}
    torch.save({"model": theirs}, folder / "esm2-contact-regression.pt")
    return path


def with_old_norm_names(folder: Path, state: Mapping[str, Tensor]) -> Path:
    old = {}
    for name, tensor in state.items():
        norm = "LayerNorm" in name or "layer_norm" in name
        old[name.replace(".weight", ".gamma").replace(".bias", ".beta") if norm else name] = tensor
    return write_pickle(folder, old)


def as_published(folder: Path, state: Mapping[str, Tensor]) -> Path:
    return folder


LAYOUTS = {
    "published safetensors": as_published,
    "pickle": write_pickle,
    "sharded pickles": write_pickles,
    "pickle with gamma and beta": with_old_norm_names,
    "fair-esm": write_fair_esm,
    "fair-esm in two files": as_fair_esm_publishes,
}


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_a_published_layout_is_read_whole(
    write: Callable[[Path, State], Path],
    esm_folder: Path,
    original: EsmForMaskedLM,
    published_state: State,
    read_folder: ReadFolder,
) -> None:
    checkpoint = read_folder(write(esm_folder, published_state))
    assert logits_agree(checkpoint, original)
    assert contacts_agree(checkpoint, original)
    assert checkpoint.family == "ESM-2"
    assert checkpoint.unused == ()


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "100KB"}], ids=["whole", "sharded"])
def test_what_transformers_saves_is_read_whole(
    shards: dict[str, Any], original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder
) -> None:
    original.save_pretrained(tmp_path, **shards)
    assert (tmp_path / "model.safetensors.index.json").exists() == bool(shards)
    checkpoint = read_folder(tmp_path)
    assert logits_agree(checkpoint, original)
    assert contacts_agree(checkpoint, original)
    assert checkpoint.unused == ()


def test_the_settings_of_the_configuration_are_followed(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder
) -> None:
    config = deepcopy(original.config)
    config.layer_norm_eps, config.intermediate_size, config.token_dropout = 0.3, 100, False
    other = EsmForMaskedLM(config).eval().requires_grad_(False)
    other.save_pretrained(tmp_path)
    assert logits_agree(read_folder(tmp_path), other)


def test_an_encoder_without_its_head_is_read_as_such(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder
) -> None:
    EsmModel(original.config).save_pretrained(tmp_path)
    bare = EsmModel.from_pretrained(tmp_path).eval().requires_grad_(False)
    checkpoint = read_folder(tmp_path)
    assert not describe("mine", checkpoint, "", ()).has_head
    assert checkpoint.unused == ()
    expected = bare(TOKENS[None]).last_hidden_state[0]
    found = checkpoint.module.encoder(pack([TOKENS]))
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_safetensors_are_read_where_a_pickle_lies_beside_them(
    esm_folder: Path, original: EsmForMaskedLM, read_folder: ReadFolder
) -> None:
    (esm_folder / "pytorch_model.bin").write_bytes(b"never opened")
    assert logits_agree(read_folder(esm_folder), original)


def test_tensors_of_no_use_are_reported(
    esm_folder: Path, published_state: State, original: EsmForMaskedLM, read_folder: ReadFolder
) -> None:
    published_state["classifier.dense.weight"] = torch.zeros(2, 2)
    checkpoint = read_folder(write_pickle(esm_folder, published_state))
    assert checkpoint.unused == ("classifier.dense.weight",)
    assert logits_agree(checkpoint, original)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_stay_in_the_dtype_that_they_are_stored_in(
    dtype: torch.dtype, esm_folder: Path, published_state: State, read_folder: ReadFolder
) -> None:
    half = {name: tensor.to(dtype) for name, tensor in published_state.items()}
    checkpoint = read_folder(write_pickle(esm_folder, half))
    assert {weight.dtype for weight in checkpoint.module.parameters()} == {dtype}
    assert describe("mine", checkpoint, "", ()).stored_dtype == str(dtype).removeprefix("torch.")


def test_rounded_frequencies_of_a_checkpoint_are_used(
    esm_folder: Path, published_state: State, read_folder: ReadFolder
) -> None:
    rounded = {
        name: tensor.half() if name.endswith("inv_freq") else tensor
        for name, tensor in published_state.items()
    }
    rotary = read_folder(write_pickle(esm_folder, rounded)).module.encoder.rotary
    assert isinstance(rotary, RotaryAngles)
    assert torch.equal(
        rotary.frequencies, rounded["esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq"]
    )


def test_missing_frequencies_are_computed(
    esm_folder: Path, published_state: State, original: EsmForMaskedLM, read_folder: ReadFolder
) -> None:
    without = {name: tensor for name, tensor in published_state.items() if not name.endswith("inv_freq")}
    assert logits_agree(read_folder(write_pickle(esm_folder, without)), original)
