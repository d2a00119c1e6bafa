"""A folder whose configuration is missing, broken, or that of another model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biofm.core.errors import ModelError
from biofm.models import Checkpoint, new_protein_model

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]


def fault_of(read_folder: ReadFolder, path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_folder(path)
    return caught.value


@pytest.fixture
def our_folder(write_folder: WriteFolder) -> Path:
    return write_folder(new_protein_model("nano", trained_length=64, seed=1))


def change_settings(folder: Path, **changes: Any) -> None:
    settings = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"model_type": "bert"},
            "model_type 'bert' is none of esm, esmc, biofm-protein. See `biofm models` for what can be",
        ),
        ({"model_type": ...}, "model_type None is none of esm, esmc, biofm-protein"),
        (
            {"position_embedding_type": "absolute"},
            "tensor esm.embeddings.position_embeddings.weight is missing",
        ),
        ({"position_embedding_type": ...}, "tensor esm.embeddings.position_embeddings.weight is missing"),
        (
            {"position_embedding_type": "relative_key"},
            "not the configuration of an ESM-1b or ESM-1v (position_embedding_type is 'relative_key')",
        ),
        (
            {"position_embedding_type": "absolute", "max_position_embeddings": 2},
            "(trained_length is 0; it must be a whole number, at least 1)",
        ),
        (
            {"position_embedding_type": "absolute", "vocab_size": 25},
            "with 25 tokens where ESM has 33, not an ESM-1b or ESM-1v. See `biofm models` for what",
        ),
        (
            {"emb_layer_norm_before": True},
            "this is a model of rotary positions and a norm of its embeddings, not an ESM-2. See",
        ),
        ({"is_folding_model": True}, "this is ESMFold, which folds with an ESM-2 inside, not an ESM-2"),
        (
            {"vocab_size": 446},
            "this is a model of another alphabet, with 446 tokens where ESM has 33, not an ESM-2",
        ),
        ({"hidden_size": ...}, "the configuration lacks 'hidden_size'. Download it again"),
        ({"num_attention_heads": 5}, "(d_model 48 does not divide by n_heads 5). Download it again"),
        ({"num_hidden_layers": 0}, "(n_layers is 0; it must be a whole number, at least 1)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ", ".join(value),
)
def test_another_models_configuration_is_named(
    changes: dict[str, Any], what: str, esm_folder: Path, read_folder: ReadFolder
) -> None:
    change_settings(esm_folder, **changes)
    message = str(fault_of(read_folder, esm_folder))
    assert message.startswith(f"{esm_folder}: ")
    assert what in message


@pytest.mark.parametrize("hidden_size", [None, "48", 48.5])
def test_a_setting_of_another_type_is_a_wrong_configuration(
    hidden_size: Any, esm_folder: Path, read_folder: ReadFolder
) -> None:
    change_settings(esm_folder, hidden_size=hidden_size)
    assert fault_of(read_folder, esm_folder).what.startswith("not the configuration of an ESM-2 (")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"{", "config.json is not JSON ("),
        (b"", "config.json is not JSON ("),
        (b"\xff\xfe\x00\xd8", "config.json is not JSON ("),
        (b"[1]", "config.json holds no settings"),
    ],
    ids=["half", "empty", "binary", "list"],
)
def test_a_configuration_that_is_none_is_named(
    content: bytes, what: str, esm_folder: Path, read_folder: ReadFolder
) -> None:
    (esm_folder / "config.json").write_bytes(content)
    error = fault_of(read_folder, esm_folder)
    assert error.what.startswith(what)
    assert (error.where, error.remedy) == (str(esm_folder), "Download it again")


@pytest.mark.parametrize(
    "encoder",
    [..., 3, {}, {"d_model": 128}, {"colour": "red"}],
    ids=["none", "number", "empty", "incomplete", "unknown"],
)
def test_a_configuration_of_ours_that_makes_no_encoder_is_named(
    encoder: Any, our_folder: Path, read_folder: ReadFolder
) -> None:
    change_settings(our_folder, encoder=encoder)
    error = fault_of(read_folder, our_folder)
    assert error.what.startswith("not a configuration of a biofm model (")
    assert error.where == str(our_folder)


@pytest.mark.parametrize(("field", "value"), [("n_heads", 3), ("norm_order", "middle"), ("d_model", 128.5)])
def test_a_wrong_field_of_ours_is_named(
    field: str, value: Any, our_folder: Path, read_folder: ReadFolder
) -> None:
    encoder = json.loads((our_folder / "config.json").read_text())["encoder"]
    change_settings(our_folder, encoder=encoder | {field: value})
    error = fault_of(read_folder, our_folder)
    assert error.what.startswith("not a configuration of a biofm model (")
    assert field in error.what
