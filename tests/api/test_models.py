"""Models: loaded, described, saved and loaded again."""

import hashlib
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import biofm
from biofm import api
from biofm.api.declaration import options_of
from biofm.core import InputError, ModelError, OptionError, OutputError
from biofm.modalities import ProteinTokenizer
from biofm.models import BUNDLED, Checkpoint, esm2, new_model, write_checkpoint
from biofm.nn import MaskedLM, initialise
from tests.conftest import ReadLedger


def weights_of(model: biofm.Model) -> dict[str, torch.Tensor]:
    return dict(model.checkpoint.module.state_dict())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_model_loads_again_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    model = biofm.load(dtype=dtype)
    before = model.embed(["MKTAYIAKQR"])

    model.save(tmp_path / "saved")
    again = biofm.load(tmp_path / "saved", dtype=dtype)

    saved = weights_of(again)
    assert saved.keys() == weights_of(model).keys()
    for name, weight in weights_of(biofm.load()).items():
        assert weight.dtype == saved[name].dtype, name
        assert torch.equal(weight, saved[name]), name
    np.testing.assert_array_equal(again.embed(["MKTAYIAKQR"]).values, before.values)


def test_a_model_may_be_saved_over_the_files_it_was_loaded_from(tmp_path: Path) -> None:
    small, other = (new_model("nano", trained_length=64, seed=seed) for seed in (1, 2))
    for name, content in write_checkpoint(small).items():
        (tmp_path / name).write_bytes(content)
    model = biofm.load(tmp_path, dtype="float32")
    model.checkpoint = other  # so that the files change under the weights in use
    expected = biofm.load(tmp_path, dtype="float32").embed(["MKTAYIAKQR"])

    model.save(tmp_path, overwrite=True)

    np.testing.assert_array_equal(model.embed(["MKTAYIAKQR"]).values, expected.values)
    assert torch.equal(
        weights_of(biofm.load(tmp_path))["head.dense.weight"], other.module.state_dict()["head.dense.weight"]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_folder_with_files_is_not_saved_into_without_overwrite(tmp_path: Path, model: biofm.Model) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match="the folder is not empty"):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_info_says_what_the_files_hold() -> None:
    facts = biofm.info()

    folder = BUNDLED / "protein-nano"
    assert facts.name == "protein-nano"
    assert facts.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert facts.files == ("config.json", "model.safetensors")
    assert facts.n_parameters == sum(weight.numel() for weight in weights_of(biofm.load()).values()) - (
        weights_of(biofm.load())["encoder.rotary.frequencies"].numel()
    )
    assert facts.unused_tensors == ()


def test_the_models_with_a_name_are_the_bundled_ones_and_the_published_ones() -> None:
    names = api.models()

    assert next(iter(names)) == "protein-nano"
    assert names["protein-nano"] == "bundled with biofm"
    assert names["esm2-8m"] == "facebook/esm2_t6_8M_UR50D"


@pytest.mark.parametrize("name", ["protein-nono", "./missing", "missing.pt"])
def test_a_name_that_means_nothing_is_an_error_that_lists_what_does(name: str) -> None:
    with pytest.raises(ModelError) as fault:
        biofm.load(name)
    assert str(fault.value).startswith(f"{name}: no such model. Give one of protein-nano, esm2-8m, ")


def test_a_path_may_be_given_as_a_path(tmp_path: Path, model: biofm.Model) -> None:
    model.save(tmp_path / "saved")
    assert biofm.info(tmp_path / "saved").name == str(tmp_path / "saved")


@pytest.fixture
def with_contacts(tmp_path: Path) -> biofm.Model:
    """A tiny model that predicts contacts."""
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    initialise(module, seed=1)
    for name, content in write_checkpoint(Checkpoint("ESM-2", module.eval(), ProteinTokenizer())).items():
        (tmp_path / name).write_bytes(content)
    return biofm.load(tmp_path, dtype="float32")


READ_IN_MEMORY = {
    "column": None, "id_column": None, "gaps": "drop", "modality": None, "on_error": "stop",
    "tokens_per_batch": None,
}  # fmt: skip
ASKED: dict[str, tuple[Callable[[biofm.Model], object], dict[str, Any]]] = {
    "embed": (
        lambda model: model.embed(["MKTAY"], pool="max", layer=1),
        {"pool": "max", "layer": 1, "window": None, **READ_IN_MEMORY},
    ),
    "contacts": (lambda model: model.contacts(["MKTAY"], gaps="keep"), {**READ_IN_MEMORY, "gaps": "keep"}),
    "score": (
        lambda model: model.score("MKTAY", ["K2R"], tokens_per_batch=64),
        {
            "method": "masked-marginals",
            "offset": 0,
            "modality": None,
            "dtype": "float32",
            "tokens_per_batch": 64,
        },
    ),
    "perplexity": (
        lambda model: model.perplexity(["MKTAY"], method="single-pass"),
        {"method": "single-pass", "dtype": "float32", **READ_IN_MEMORY},
    ),
}


@pytest.mark.parametrize("verb", ASKED)
def test_a_loaded_model_states_the_options_of_a_verb_as_its_declaration_names_them(
    verb: str, with_contacts: biofm.Model, read_ledger: ReadLedger
) -> None:
    act, expected = ASKED[verb]
    act(with_contacts)

    ((kept,),) = read_ledger(f"SELECT options FROM requests WHERE verb = '{verb}'")
    assert json.loads(kept) == expected
    declaration = getattr(import_module(f"biofm.api.{verb}"), verb.capitalize())
    assert set(expected) <= {declared.name for declared in options_of(declaration)}


def test_a_wild_type_of_dna_is_refused_in_memory_too(model: biofm.Model) -> None:
    dna = "ACGT" * 40
    with pytest.raises(InputError, match="looks like DNA or RNA, not a protein"):
        model.score(dna, ["C2W"])
    assert np.isfinite(model.score(dna, ["C2W"], modality="protein")).all()
    with pytest.raises(OptionError, match="the model reads proteins, but dna was asked for"):
        model.score("MKTAY", ["K2R"], modality="dna")
