"""The contact head of a checkpoint: kept where it is, absent where it is not, and a clear line where it is
wrong.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import EsmForMaskedLM

from biofm.core import ModelError
from biofm.models import Checkpoint, describe

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]
State = dict[str, Tensor]

WEIGHT, BIAS = "esm.contact_head.regression.weight", "esm.contact_head.regression.bias"


@pytest.fixture
def save(esm_folder: Path, published_state: State) -> Callable[[State], Path]:
    """Writes the published tensors, with others in their place, into the folder."""

    def write(changes: State) -> Path:
        kept = {name: tensor for name, tensor in (published_state | changes).items() if len(tensor)}
        save_file(kept, esm_folder / "model.safetensors")
        return esm_folder

    return write


@pytest.fixture
def fair_esm(tmp_path: Path) -> Callable[[Any], Path]:
    """A fair-esm file whose own content is never reached, with this content of a contact head beside it."""

    def write(content: Any) -> Path:
        (tmp_path / "esm2.pt").touch()
        torch.save(content, tmp_path / "esm2-contact-regression.pt")
        return tmp_path / "esm2.pt"

    return write


def test_the_contact_head_is_bit_equal_after_writing(
    esm_folder: Path, original: EsmForMaskedLM, read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    written = load_file(write_folder(read_folder(esm_folder)) / "model.safetensors")
    expected = original.state_dict()
    assert written[WEIGHT].any()
    assert all(torch.equal(written[name], expected[name]) for name in (WEIGHT, BIAS))


def test_a_checkpoint_without_a_contact_head_is_read_and_written_without_one(
    save: Callable[[State], Path], read_folder: ReadFolder, write_folder: WriteFolder
) -> None:
    checkpoint = read_folder(save({WEIGHT: torch.empty(0), BIAS: torch.empty(0)}))
    assert checkpoint.module.contacts is None
    assert not describe("mine", checkpoint, "", ()).has_contact_head
    written = load_file(write_folder(checkpoint) / "model.safetensors")
    assert [name for name in written if "contact" in name] == []


def test_info_says_that_there_is_a_contact_head(esm_folder: Path, read_folder: ReadFolder) -> None:
    assert describe("mine", read_folder(esm_folder), "", ()).has_contact_head


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({BIAS: torch.empty(0)}, f"tensor {BIAS} is missing"),
        ({WEIGHT: torch.empty(0)}, f"tensor {WEIGHT} is missing"),
        ({WEIGHT: torch.zeros(1, 5)}, f"tensor {WEIGHT} has shape [1, 5] instead of [1, 6]"),
        ({BIAS: torch.zeros(1, dtype=torch.int64)}, f"tensor {BIAS} holds torch.int64"),
    ],
    ids=["no bias", "no weight", "another shape", "whole numbers"],
)
def test_a_contact_head_at_fault_names_the_tensor(
    changes: State, message: str, save: Callable[[State], Path], read_folder: ReadFolder
) -> None:
    with pytest.raises(ModelError) as caught:
        read_folder(save(changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not a fair-esm checkpoint"),
        ({"weights": {}}, "the file holds no named tensors"),
        ({"model": {"contact_head.regression.weight": "1"}}, "is not a tensor"),
        (
            {"model": {"layers.0.fc1.weight": torch.zeros(2, 2)}},
            "the file holds more than a contact head",
        ),
    ],
    ids=["a list", "no tensors", "text", "other weights"],
)
def test_a_file_beside_that_is_no_contact_head_is_named(
    content: Any, message: str, fair_esm: Callable[[Any], Path], read_folder: ReadFolder
) -> None:
    with pytest.raises(ModelError) as caught:
        read_folder(fair_esm(content))
    assert caught.value.where == "esm2-contact-regression.pt"
    assert message in caught.value.what


def test_a_damaged_file_beside_is_named(fair_esm: Callable[[Any], Path], read_folder: ReadFolder) -> None:
    path = fair_esm({})
    (path.parent / "esm2-contact-regression.pt").write_bytes(b"never a pickle")
    with pytest.raises(ModelError, match=r"esm2-contact-regression\.pt: damaged"):
        read_folder(path)
