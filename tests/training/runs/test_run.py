"""A run makes a folder that holds everything."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from biofm_datasets.store import open_store

from biofm import api
from biofm.api.configuration import read_configuration
from biofm.core import OptionError
from biofm.modalities import STANDARD_RESIDUES
from biofm.models import Checkpoint, esm2, new_model
from biofm.nn import MaskedLM, initialise
from biofm.training import PretrainRecipe

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
CheckEvaluation = Callable[..., None]
Refusal = Callable[..., str]
SaveModel = Callable[[str, Checkpoint], str]
N_PROTEINS = 24
N_HELD_OUT = 4


@pytest.mark.usefixtures("reported")
def test_a_run_leaves_the_model_the_log_the_judgement_and_a_report(
    make_fasta: MakeFasta, few: PretrainRecipe, tmp_path: Path, check_evaluation: CheckEvaluation
) -> None:
    folder = tmp_path / "run"
    summary = api.pretrain(make_fasta(), folder, few)

    assert {path.name for path in folder.iterdir() if path.suffix != ".png"} == {
        "recipe.toml", "run.json", "data", "checkpoints", "metrics.csv", "tensorboard", "model",
        "evaluation.json", "report.html",
    }  # fmt: skip
    check_evaluation(summary)
    assert summary.n_train + summary.n_removed + N_HELD_OUT == N_PROTEINS
    assert summary.best_step == 2
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["held_out"]["proteins.fasta"]["model"] == summary.held_out["proteins.fasta"].model
    assert evaluation["n_parameters"] == summary.n_parameters
    report = (folder / "report.html").read_text()
    assert "Too few points for a curve." in report, "two steps are stated and not drawn"
    assert not (folder / "loss.png").exists()
    assert f"{summary.held_out['proteins.fasta'].model:.2f}" in report
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3


def test_the_recipe_of_a_run_is_a_configuration_again(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    api.pretrain(make_fasta(), tmp_path / "run", nothing)
    file = tmp_path / "run" / "recipe.toml"
    assert read_configuration("pretrain", PretrainRecipe, file) == nothing
    changed = read_configuration("pretrain", PretrainRecipe, file, {"seed": 3}, ["schedule=cosine"])
    assert changed == replace(nothing, seed=3, schedule="cosine")


def test_the_model_of_a_run_is_the_trained_one_and_embeds(
    make_fasta: MakeFasta, few: PretrainRecipe, tmp_path: Path
) -> None:
    summary = api.pretrain([make_fasta()], tmp_path / "run", few)
    model = api.load(summary.model, dtype="float32")

    embeddings = model.embed(["MKTAYIAKQR", "ACDEF"])
    assert embeddings.values.shape == (2, 128)
    assert np.isfinite(embeddings.values).all()
    (last,) = (tmp_path / "run" / "checkpoints").iterdir()
    trained = torch.load(last, weights_only=True)["state_dict"]
    for name, weight in model.checkpoint.module.state_dict().items():
        assert torch.equal(weight, trained[f"model.{name}"]), name


def test_the_held_out_proteins_are_of_every_file_and_none_is_trained_on(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, check_evaluation: CheckEvaluation
) -> None:
    inputs = [make_fasta("a.fasta"), make_fasta("b.fasta", seed=1)]
    summary = api.pretrain(inputs, tmp_path / "run", nothing)

    check_evaluation(summary, "a.fasta")
    check_evaluation(summary, "b.fasta")
    split = open_store(tmp_path / "run" / "data").split
    assert sorted(np.concatenate(list(split.values()))) == list(range(2 * N_PROTEINS))
    assert Counter((split["test"] >= N_PROTEINS).tolist()) == {False: N_HELD_OUT, True: N_HELD_OUT}


def test_only_the_proteins_for_training_are_counted_and_trained_on(
    make_fasta: MakeFasta, nothing: PretrainRecipe, make_proteins: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The unigram baseline counts the tokens that are trained on, so its perplexity shows which they are."""
    summary = api.pretrain([make_fasta()], tmp_path / "run", nothing)
    proteins = make_proteins(N_PROTEINS)
    split = open_store(tmp_path / "run" / "data").split
    train, held_out = ("".join(proteins[i] for i in split[name]) for name in ("train", "test"))
    share = {residue: (train.count(residue) + 1) / (len(train) + 20) for residue in STANDARD_RESIDUES}
    expected = np.exp(-np.mean([np.log(share[residue]) for residue in held_out]))
    assert summary.held_out["proteins.fasta"].unigram == pytest.approx(expected, rel=1e-9)


def test_two_files_of_one_name_are_told_apart_by_their_folders(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    inputs = [make_fasta("one/x.fasta"), make_fasta("two/x.fasta", seed=1)]
    summary = api.pretrain(inputs, tmp_path / "run", nothing)
    assert list(summary.held_out) == [str(path) for path in inputs]


@pytest.mark.usefixtures("reported")
def test_no_steps_judge_a_model_as_it_is(
    make_fasta: MakeFasta, few: PretrainRecipe, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    trained = api.pretrain([make_fasta()], tmp_path / "run", few)
    judged = api.pretrain([make_fasta()], tmp_path / "judged", nothing, start_from=trained.model)

    assert judged.held_out == trained.held_out
    assert {path.name for path in (tmp_path / "judged").iterdir()} == {
        "recipe.toml", "run.json", "data", "model", "evaluation.json", "report.html"
    }  # fmt: skip
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "judged/model" / name).read_bytes() == (tmp_path / "run/model" / name).read_bytes()


def test_a_model_stored_in_half_precision_is_judged_and_kept_in_float32(
    make_fasta: MakeFasta,
    nothing: PretrainRecipe,
    tmp_path: Path,
    check_evaluation: CheckEvaluation,
    save_model: SaveModel,
) -> None:
    checkpoint = new_model("nano", trained_length=64, seed=0)
    checkpoint.module.to(torch.float16)
    half = save_model("half", checkpoint)
    summary = api.pretrain([make_fasta()], tmp_path / "run", nothing, start_from=half)

    check_evaluation(summary)
    assert api.info(summary.model).stored_dtype == "float32"


@pytest.mark.parametrize("n_steps", [0, 1])
def test_a_contact_head_is_kept_only_with_the_weights_that_it_was_fitted_to(
    n_steps: int, make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path, save_model: SaveModel
) -> None:
    module = MaskedLM(esm2.config(d_model=16, n_layers=2, n_heads=2), with_contacts=True)
    initialise(module, seed=0)
    start = save_model("start", Checkpoint("ESM-2", module, esm2.tokenizer()))
    recipe = make_recipe(n_steps=n_steps)
    summary = api.pretrain([make_fasta()], tmp_path / "run", recipe, start_from=start)

    assert api.info(summary.model).has_contact_head == (n_steps == 0)
    assert any("contact head was left out" in notice for notice in summary.notices) == (n_steps > 0)


def test_without_held_out_proteins_all_are_trained_on(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    summary = api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_steps=1, n_held_out=0))
    assert (summary.n_train, summary.n_removed, summary.held_out) == (N_PROTEINS, 0, {})


def test_a_causal_model_is_trained_and_judged_as_one(
    make_fasta: MakeFasta,
    make_recipe: MakeRecipe,
    tmp_path: Path,
    check_evaluation: CheckEvaluation,
    refusal: Refusal,
) -> None:
    recipe = make_recipe(n_steps=2, objective="causal", n_held_out=N_HELD_OUT)
    summary = api.pretrain(make_fasta(), tmp_path / "run", recipe)
    check_evaluation(summary)
    assert api.load(summary.model).checkpoint.module.config.causal
    judged = api.pretrain(
        make_fasta(), tmp_path / "judged", replace(recipe, n_steps=0), start_from=summary.model
    )
    assert judged.held_out == summary.held_out

    message = refusal(OptionError, make_fasta(), tmp_path / "other", make_recipe(), start_from=summary.model)
    assert message == (
        "--objective: this is a causal model, which cannot be trained by the masked objective. "
        "Give causal, or start from another model"
    )
    assert not (tmp_path / "other").exists()
