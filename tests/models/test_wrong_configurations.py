"""A folder whose configuration is missing, broken, or that of another model."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import pytest

from biofm.core import ModelError
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, new_model, protein
from biofm.nn import EncoderConfig, MaskedLM

ReadFolder = Callable[[Path], Checkpoint]
WriteFolder = Callable[[Checkpoint], Path]


def fault_of(read_folder: ReadFolder, path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_folder(path)
    return caught.value


@pytest.fixture
def our_folder(write_folder: WriteFolder) -> Path:
    return write_folder(new_model("nano", trained_length=64, seed=1))


def change_settings(folder: Path, **changes: Any) -> None:
    settings = json.loads((folder / "config.json").read_text()) | changes
    kept = {name: value for name, value in settings.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"model_type": "bert"},
            "biofm does not load the model_type 'bert', only esm, esmc, biofm-protein. See `biofm",
        ),
        ({"model_type": ...}, "biofm does not load the model_type None, only esm, esmc, biofm-protein"),
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
            "of 25 tokens instead of 33, not an ESM-1b or ESM-1v. See `biofm models` for what",
        ),
        (
            {"emb_layer_norm_before": True},
            "this is a model with rotary positions and a norm of its embeddings, not an ESM-2. See",
        ),
        (
            {"is_folding_model": True},
            "this is ESMFold, which predicts structures with an ESM-2 inside, not an ESM-2",
        ),
        (
            {"vocab_size": 446},
            "this is a model with another alphabet, of 446 tokens instead of 33, not an ESM-2",
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
        (b"[1]", "config.json is not a JSON object"),
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


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "what"),
    [(DEEP, "nested too deep"), (b" " * (16 << 20) + b"{}", "larger than 16,384 KiB")],
    ids=["deep", "large"],
)
def test_settings_that_no_parser_should_read_are_refused(
    name: str, content: bytes, what: str, esm_folder: Path, read_folder: ReadFolder
) -> None:
    (esm_folder / name).write_bytes(content)
    error = fault_of(read_folder, esm_folder)
    assert what in str(error.__cause__)
    assert error.remedy == "Download it again"


# What a damaged or a hostile file may say where a number, a word or a truth value belongs. In a Hugging Face
# folder null is as good as no word for a switch.
ABSURD = [10**9, 10**30, -1, 0, 1.5, -5.0, float("nan"), float("inf"), "48", True, None, [1], {}]
SIZES = {
    "esm2": ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "fused": ("d_model", "n_layers", "n_heads", "vocab_size"),
    "transformers": (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
    ),
    "ours": ("d_model", "n_layers", "n_heads", "d_feedforward", "vocab_size", "norm_eps", "norm_order"),
}  # fmt: skip
OTHERS = {
    "esm2": ("layer_norm_eps", "token_dropout", "position_embedding_type", "emb_layer_norm_before",
             "vocab_size", "is_folding_model", "model_type", "max_position_embeddings"),
    "fused": ("model_type", "architectures"),
    "transformers": ("max_position_embeddings", "rope_parameters", "hidden_act", "tie_word_embeddings"),
    "ours": tuple(EncoderConfig.__dataclass_fields__),
}  # fmt: skip


@pytest.fixture
def _users_types() -> Iterator[None]:
    """The types of fields are not checked, as for a user."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(params=SIZES)
def layout_folder(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    esm_folder: Path,
    write_folder: WriteFolder,
    write_esmc: Callable[[str, Path], Path],
) -> tuple[str, Path]:
    layout = request.param
    if layout == "esm2":
        return layout, esm_folder
    if layout == "ours":
        shape = replace(protein.config("nano", trained_length=64), d_model=8, d_feedforward=8, n_layers=1)
        return layout, write_folder(Checkpoint("biofm protein", MaskedLM(shape), ProteinTokenizer()))
    folder = tmp_path / layout
    folder.mkdir()
    return layout, write_esmc(layout, folder)


@pytest.mark.usefixtures("_users_types")
def test_no_setting_whatever_it_says_is_more_than_a_clear_fault(
    layout_folder: tuple[str, Path], read_folder: ReadFolder
) -> None:
    """1e9 layers, widths that no memory holds, NaN and words: compared with the tensors' shapes first."""
    layout, folder = layout_folder
    file = folder / "config.json"
    settings = json.loads(file.read_text())
    nested = settings["encoder"] if layout == "ours" else settings
    for name in (*SIZES[layout], *OTHERS[layout]):
        for value in ABSURD:
            changed = nested | {name: value}
            file.write_text(json.dumps(settings | {"encoder": changed} if layout == "ours" else changed))
            try:
                config = read_folder(folder).module.config
            except ModelError:
                continue
            assert name not in SIZES[layout] or value is None, f"{name} {value!r} was accepted"
            assert 0 < config.norm_eps < 1, f"{name} {value!r} was accepted"
            assert type(config.causal) is type(config.tied_head) is bool


def test_a_folder_with_more_layers_than_its_configuration_says_is_refused(
    our_folder: Path, read_folder: ReadFolder
) -> None:
    """Half of a model gives other numbers, without a word."""
    encoder = json.loads((our_folder / "config.json").read_text())["encoder"]
    change_settings(our_folder, encoder=encoder | {"n_layers": 3})
    assert fault_of(read_folder, our_folder).what == "the configuration says 3 layers, but the files hold 6"
