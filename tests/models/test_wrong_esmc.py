"""Files that are taken for an ESM C and make none: each fault is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from biofm.core import ModelError
from biofm.models import Checkpoint

ReadFolder = Callable[[Path], Checkpoint]
WriteEsmc = Callable[[str, Path], Path]
State = dict[str, Tensor]


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
        (lambda state: list(state), "the file holds no named tensors"),
        (lambda state: {"model": state}, "its entry 'model' is not a tensor"),
        (lambda state: {"embed.weight": torch.ones(64, 100)}, "(a width of 100 is no multiple of 64)"),
        (lambda state: {"embed.weight": torch.tensor(1.0)}, "(a width of 1 is no multiple of 64)"),
        (lambda state: {"embed.weight": torch.ones(64, 128)}, "(n_layers is 0; it must be a whole number"),
        (
            lambda state: state | {"embed.weight": torch.ones(33, 128)},
            "tensor embed.weight has shape [33, 128] instead of [64, 128]",
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
    esmc_pth_state: State,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    torch.save(change(esmc_pth_state), tmp_path / "mine.pth")
    with pytest.raises(ModelError) as caught:
        read_folder(tmp_path / "mine.pth")
    assert what in str(caught.value)
    assert caught.value.where == str(tmp_path / "mine.pth")


FUSED_FAULTS = [
    ({"n_layers": ...}, "the configuration lacks 'num_hidden_layers'. Download it again"),
    ({"n_heads": 5}, "not the configuration of an ESM C (d_model 128 does not divide by n_heads 5)"),
    ({"d_model": "128"}, "not the configuration of an ESM C ("),
    ({"n_layers": None}, "not the configuration of an ESM C ("),
    ({"vocab_size": 20}, "(vocab_size is 20; the alphabet alone has 33 tokens)"),
    ({"n_layers": 4}, "tensor esmc.transformer.blocks.3.attn.layernorm_qkv.layer_norm_weight is missing"),
    ({"vocab_size": 65}, "tensor esmc.embed.weight has shape [64, 128] instead of [65, 128]"),
]
TRANSFORMERS_FAULTS = [
    ({"hidden_size": ...}, "the configuration lacks 'hidden_size'. Download it again"),
    ({"hidden_act": "gelu"}, "(hidden_act is 'gelu'; every ESM C has 'silu')"),
    ({"attention_bias": True}, "(attention_bias is True; every ESM C has False)"),
    ({"rope_parameters": {"rope_theta": 5000.0}}, "(rope_theta is 5000.0; every ESM C has 10000.0)"),
    ({"rope_parameters": [1]}, "not the configuration of an ESM C ("),
    ({"max_position_embeddings": 0}, "(trained_length is 0; it must be a whole number, at least 1)"),
    ({"intermediate_size": 256}, "mlp.gate_proj.weight has shape [512, 128] instead of [256, 128]"),
]


@pytest.mark.parametrize(
    ("layout", "changes", "what"),
    [
        *(("fused", *fault) for fault in FUSED_FAULTS),
        *(("transformers", *fault) for fault in TRANSFORMERS_FAULTS),
    ],
    ids=str,
)
def test_a_wrong_configuration_is_named(
    layout: str,
    changes: dict[str, Any],
    what: str,
    write_esmc: WriteEsmc,
    tmp_path: Path,
    read_folder: ReadFolder,
) -> None:
    folder = write_esmc(layout, tmp_path)
    settings = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
    with pytest.raises(ModelError) as caught:
        read_folder(folder)
    assert what in str(caught.value)
    assert caught.value.where == str(folder)
