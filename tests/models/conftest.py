"""Random models of ``transformers``, and models read from folders as ``biofm.load`` reads them."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import EsmcConfig, EsmcForMaskedLM, EsmConfig, EsmForMaskedLM

from biofm.models import Checkpoint, files_of, read_checkpoint, write_checkpoint

ReadFolder = Callable[[Path], Checkpoint]
State = dict[str, Tensor]

# The 35M model's head dim of 24.
SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 192}


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
