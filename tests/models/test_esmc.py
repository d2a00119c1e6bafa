"""An ESM C gives the same model from every layout that its weights come in, and is written in one of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer, EsmcForMaskedLM, EsmcModel

from biofm.core import ModelError
from biofm.models import Checkpoint, describe, files_of
from biofm.nn import pack

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]
WriteEsmc = Callable[[str, Path], Path]

TOKENS = torch.tensor([0, 5, 6, 32, 12, 31, 20, 2])


@pytest.mark.parametrize(
    "layout",
    [
        "pth",
        "fused pth",
        "transformers pth",
        "repository",
        "fused",
        "fused shards",
        "fused, later configuration",
        "transformers",
        "transformers shards",
        "transformers, earlier configuration",
    ],
)
def test_every_layout_gives_the_same_model(
    layout: str,
    write_esmc: WriteEsmc,
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    checkpoint = read_folder(write_esmc(layout, tmp_path))
    assert checkpoint.family == "ESM C"
    assert checkpoint.unused == ()
    expected = esmc_original(TOKENS[None]).logits[0]
    found = checkpoint.module(pack([TOKENS]))
    assert float((found - expected).abs().max()) < 2e-5 * float(expected.abs().max())
    state = checkpoint.module.state_dict()
    plain = write_esmc("transformers", tmp_path / "plain")
    assert all(
        torch.equal(state[name], weight) for name, weight in read_folder(plain).module.state_dict().items()
    )


@pytest.mark.parametrize("layout", ["bare transformers", "bare fused", "bare pth", "bare fused pth"])
def test_an_encoder_without_its_head_is_read_as_such(
    layout: str,
    write_esmc: WriteEsmc,
    esmc_original: EsmcForMaskedLM,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    checkpoint = read_folder(write_esmc(layout, tmp_path))
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
    write_esmc: WriteEsmc,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    esmc_original.to(dtype)
    checkpoint = read_folder(write_esmc("pth", tmp_path))
    again = read_folder(write_folder(checkpoint))
    assert again.module.config == checkpoint.module.config
    assert {weight.dtype for weight in again.module.parameters()} == {dtype}
    state = checkpoint.module.state_dict()
    assert again.module.state_dict().keys() == state.keys()
    assert all(torch.equal(state[name], weight) for name, weight in again.module.state_dict().items())


def test_transformers_gets_the_same_model_and_tokens_from_what_we_write(
    esmc_original: EsmcForMaskedLM,
    write_esmc: WriteEsmc,
    tmp_path: Path,
    read_folder: ReadFolder,
    write_folder: WriteFolder,
) -> None:
    checkpoint = read_folder(write_esmc("pth", tmp_path))
    folder = write_folder(checkpoint)
    theirs, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert torch.equal(theirs.eval()(TOKENS[None]).logits, esmc_original(TOKENS[None]).logits)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("MKT|<mask>")["input_ids"] == checkpoint.tokenizer.encode("MKT|<mask>").tolist()
    assert tokenizer.model_max_length == 2048


def test_safetensors_go_before_a_pth_and_several_pth_are_too_many(
    write_esmc: WriteEsmc, tmp_path: Path
) -> None:
    write_esmc("repository", tmp_path)
    assert [file.name for file in files_of(tmp_path)] == ["esmc_300m_2024_12_v0.pth"]
    (tmp_path / "data" / "weights" / "esmc_600m_2024_12_v0.pth").touch()
    with pytest.raises(ModelError, match=r"the folder has several \.pth files\. Give one of them$"):
        files_of(tmp_path)
    write_esmc("fused", tmp_path)
    assert [file.name for file in files_of(tmp_path)] == ["config.json", "model.safetensors"]
