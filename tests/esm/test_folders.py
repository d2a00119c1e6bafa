"""Folders and files that esm 3.4 writes, by the package's own code, read by ``biofm.load`` at every layer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from esm.models import esmc
from esm.sdk.api import ESMProtein
from safetensors.torch import save_file

from biofm import load
from biofm.nn import pack

if TYPE_CHECKING:
    from esm.models.esmc import EsmcForMaskedLM

Write = Callable[["EsmcForMaskedLM", Path], Path]

# Relative to the largest entry of a state: the order of additions alone differs.
FLOAT32 = 2e-5
SHAPE = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 3}
EARLIER = {
    "d_model": 128,
    "n_heads": 2,
    "n_layers": 3,
    "vocab_size": 64,
    "mask_token_id": 32,
    "pad_token_id": 1,
}
TOKENS = torch.tensor([0, 20, 15, 32, 5, 31, 12, 29, 2])

if not hasattr(esmc, "EsmcForMaskedLM"):
    pytest.skip("esm before 3.4 writes no folders: make test-esm-newest runs these", allow_module_level=True)


def later(model: "EsmcForMaskedLM", folder: Path) -> None:
    model.config.save_pretrained(folder)


def earlier(model: "EsmcForMaskedLM", folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "esmc"} | EARLIER))


def save(model: "EsmcForMaskedLM", folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def save_encoder(model: "EsmcForMaskedLM", folder: Path) -> Path:
    model.esmc.save_pretrained(folder)
    return folder


def save_with_earlier_settings(model: "EsmcForMaskedLM", folder: Path) -> Path:
    model.save_pretrained(folder)
    earlier(model, folder)
    return folder


def state_in_folder(settings: Callable[["EsmcForMaskedLM", Path], None]) -> Write:
    def write(model: "EsmcForMaskedLM", folder: Path) -> Path:
        settings(model, folder)
        save_file(model.state_dict(), folder / "model.safetensors")
        return folder

    return write


def state_in_pth(model: "EsmcForMaskedLM", folder: Path) -> Path:
    torch.save(model.state_dict(), folder / "mine.pth")
    return folder / "mine.pth"


def encoder_in_pth(model: "EsmcForMaskedLM", folder: Path) -> Path:
    return state_in_pth(model.esmc, folder)


WRITERS: dict[str, Write] = {
    "save_pretrained": save,
    "save_pretrained, earlier configuration": save_with_earlier_settings,
    "save_pretrained of an encoder": save_encoder,
    "state_dict in a folder": state_in_folder(later),
    "state_dict in a folder, earlier configuration": state_in_folder(earlier),
    "state_dict in a .pth": state_in_pth,
    "state_dict of an encoder in a .pth": encoder_in_pth,
}


@pytest.fixture(scope="module")
def model() -> "EsmcForMaskedLM":
    torch.manual_seed(1)
    model = esmc.EsmcForMaskedLM(esmc.EsmcConfig(**SHAPE)).eval().requires_grad_(False)
    for weight in model.parameters():
        weight += 0.05 * torch.randn(weight.shape)
    return model


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_every_layer_is_the_originals_from_whatever_the_package_wrote(
    write: Write, model: "EsmcForMaskedLM", tmp_path: Path
) -> None:
    checkpoint = load(write(model, tmp_path), device="cpu", dtype="float32").checkpoint
    encoder = checkpoint.module.encoder
    theirs = model(TOKENS[None], output_hidden_states=True)
    batch = pack([TOKENS])
    found = [encoder(batch, layer=layer) for layer in range(4)]
    for one, other in zip(found, theirs.hidden_states, strict=True):
        assert float((one - other[0]).abs().max()) < FLOAT32 * float(other.abs().max())
    assert checkpoint.unused == ()
    if checkpoint.module.head is not None:
        logits = checkpoint.module(batch)
        assert float((logits - theirs.logits[0]).abs().max()) < FLOAT32 * float(theirs.logits.abs().max())
    assert (checkpoint.module.head is None) == ("encoder" in write.__name__)


def test_our_client_takes_a_folder_of_the_package(model: "EsmcForMaskedLM", tmp_path: Path) -> None:
    from biofm.esm import ESMC

    client = ESMC.from_pretrained(save(model, tmp_path), device="cpu", use_flash_attn=False)
    tokens = client.encode(ESMProtein(sequence="MKTA|YI")).sequence[None]
    expected = model(tokens).logits
    assert float((client(input_ids=tokens).logits - expected).abs().max()) < FLOAT32 * float(
        expected.abs().max()
    )
