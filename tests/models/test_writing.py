"""A model that was written is the same when it is read, by us and by ``transformers``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, EsmForMaskedLM, EsmModel

from biofm.models import Checkpoint, bundled_models, files_of, locate, new_model
from biofm.nn import pack

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]

TOKENS = torch.tensor([0, 5, 6, 32, 12, 20, 2])


def same_model(first: Checkpoint, second: Checkpoint) -> bool:
    ours, theirs = first.module.state_dict(), second.module.state_dict()
    same = ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    return same and first.module.config == second.module.config and first.family == second.family


def test_our_own_model_is_bit_equal_after_writing(read_folder: ReadFolder, write_folder: WriteFolder) -> None:
    checkpoint = new_model("nano", trained_length=512, seed=1)
    again = read_folder(write_folder(checkpoint))
    assert same_model(checkpoint, again)
    assert again.unused == ()


def test_a_causal_model_is_bit_equal_after_writing(
    read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = new_model("nano", trained_length=512, seed=1, causal=True)
    again = read_folder(write_folder(checkpoint))
    assert same_model(checkpoint, again)
    assert again.module.config.causal


def test_a_model_of_ours_from_before_there_were_causal_ones_still_loads(
    read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = new_model("nano", trained_length=512, seed=1)
    folder = write_folder(checkpoint)
    settings = json.loads((folder / "config.json").read_text())
    del settings["encoder"]["causal"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert same_model(checkpoint, read_folder(folder))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_esm2_is_bit_equal_after_writing(
    dtype: torch.dtype, esm_folder: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = read_folder(esm_folder)
    checkpoint.module.to(dtype)
    again = read_folder(write_folder(checkpoint))
    assert same_model(checkpoint, again)
    assert {weight.dtype for weight in again.module.parameters()} == {dtype}


def test_transformers_gets_the_same_logits_from_what_we_write(
    esm_folder: Path, original: EsmForMaskedLM, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    folder = write_folder(read_folder(esm_folder))
    theirs, report = EsmForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert torch.equal(theirs.eval()(TOKENS[None]).logits, original(TOKENS[None]).logits)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert theirs.config.architectures == ["EsmForMaskedLM"]


def test_transformers_gets_the_same_tokens_from_what_we_write(
    esm_folder: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = read_folder(esm_folder)
    theirs = AutoTokenizer.from_pretrained(write_folder(checkpoint))
    assert theirs("MKT<mask>")["input_ids"] == checkpoint.tokenizer.encode("MKT<mask>").tolist()
    assert theirs.model_max_length == 1024


def test_transformers_reads_an_encoder_that_has_no_head(
    original: EsmForMaskedLM, tmp_path: Path, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    bare = tmp_path / "bare"
    original.esm.save_pretrained(bare)
    theirs = AutoModel.from_pretrained(write_folder(read_folder(bare))).eval()
    assert theirs.config.architectures == ["EsmModel"]
    assert isinstance(theirs, EsmModel)
    expected = original.esm(TOKENS[None]).last_hidden_state
    assert torch.equal(theirs(TOKENS[None]).last_hidden_state, expected)


@pytest.mark.parametrize("name", bundled_models())
def test_a_bundled_model_is_whole(name: str, read_folder: ReadFolder) -> None:
    path = locate(name).path
    assert path is not None
    assert [file.name for file in files_of(path)] == ["config.json", "model.safetensors"]
    checkpoint = read_folder(path)
    assert checkpoint.unused == ()
    assert checkpoint.module(pack([TOKENS])).isfinite().all()
