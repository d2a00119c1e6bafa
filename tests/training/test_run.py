"""A run makes a folder that holds everything, and goes on only with what it began."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from biofm import api
from biofm.core.errors import BiofmError, InputError, ModelError, OptionError, OutputError
from biofm.models import Checkpoint, esm2, new_protein_model, write_checkpoint
from biofm.nn import MaskedLM, initialise
from biofm.tokenizers.protein import STANDARD_RESIDUES
from biofm.training import PretrainRecipe, PretrainSummary

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
N_PROTEINS = 24
N_HELD_OUT = 4


@pytest.fixture
def make_fasta(tmp_path: Path, make_proteins: Callable[..., list[str]]) -> MakeFasta:
    """A file of unlike proteins, and whatever lines come behind them."""

    def make(name: str = "proteins.fasta", *, n: int = N_PROTEINS, seed: int = 0, more: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        records = [f">p{i}\n{protein}\n" for i, protein in enumerate(make_proteins(n, seed=seed))]
        path.write_text("".join(records) + more)
        return path

    return make


@pytest.fixture
def few(make_recipe: MakeRecipe) -> PretrainRecipe:
    return make_recipe(n_steps=2, log_every=1, n_held_out=N_HELD_OUT)


@pytest.fixture
def nothing(make_recipe: MakeRecipe) -> PretrainRecipe:
    """No step at all, which needs no training to check what comes before it."""
    return make_recipe(n_steps=0, n_held_out=N_HELD_OUT)


def check_evaluation(summary: PretrainSummary, source: str = "proteins.fasta") -> None:
    result = summary.held_out[source]
    assert result.n_sequences == N_HELD_OUT
    assert 31 * N_HELD_OUT <= result.n_residues <= 80 * N_HELD_OUT
    assert all(15 < value < 30 for value in (result.model, result.unigram, result.own_composition))


def test_a_run_leaves_the_model_the_log_and_the_judgement(
    make_fasta: MakeFasta, few: PretrainRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    summary = api.pretrain([make_fasta()], folder, few)

    assert {path.name for path in folder.iterdir()} == {
        "recipe.json", "split.npz", "checkpoints", "metrics.csv", "tensorboard", "loss.png", "model",
        "evaluation.json",
    }  # fmt: skip
    check_evaluation(summary)
    assert summary.n_train + summary.n_removed + N_HELD_OUT == N_PROTEINS
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["held_out"]["proteins.fasta"]["model"] == summary.held_out["proteins.fasta"].model
    assert evaluation["n_parameters"] == summary.n_parameters
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3
    assert not json.loads((folder / "recipe.json").read_text()).keys() ^ {
        *(field.name for field in fields(PretrainRecipe)), "encoder", "data_sha256"
    }  # fmt: skip


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
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    inputs = [make_fasta("a.fasta"), make_fasta("b.fasta", seed=1)]
    summary = api.pretrain(inputs, tmp_path / "run", nothing)

    check_evaluation(summary, "a.fasta")
    check_evaluation(summary, "b.fasta")
    with np.load(tmp_path / "run" / "split.npz") as split:
        parts = [split[name] for name in ("train", "held_out", "removed")]
    assert sorted(np.concatenate(parts)) == list(range(2 * N_PROTEINS))
    assert Counter((parts[1] >= N_PROTEINS).tolist()) == {False: N_HELD_OUT, True: N_HELD_OUT}


def test_only_the_proteins_for_training_are_counted_and_trained_on(
    make_fasta: MakeFasta, nothing: PretrainRecipe, make_proteins: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The unigram baseline is of the tokens that are trained on, so its perplexity tells which they are."""
    summary = api.pretrain([make_fasta()], tmp_path / "run", nothing)
    proteins = make_proteins(N_PROTEINS)
    with np.load(tmp_path / "run" / "split.npz") as split:
        train, held_out = ("".join(proteins[i] for i in split[name]) for name in ("train", "held_out"))
    share = {residue: (train.count(residue) + 1) / (len(train) + 20) for residue in STANDARD_RESIDUES}
    expected = np.exp(-np.mean([np.log(share[residue]) for residue in held_out]))
    assert summary.held_out["proteins.fasta"].unigram == pytest.approx(expected, rel=1e-9)


def test_two_files_of_one_name_are_told_apart_by_their_folders(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    inputs = [make_fasta("one/x.fasta"), make_fasta("two/x.fasta", seed=1)]
    summary = api.pretrain(inputs, tmp_path / "run", nothing)
    assert list(summary.held_out) == [str(path) for path in inputs]


def test_no_steps_judge_a_model_as_it_is(
    make_fasta: MakeFasta, few: PretrainRecipe, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    trained = api.pretrain([make_fasta()], tmp_path / "run", few)
    judged = api.pretrain([make_fasta()], tmp_path / "judged", nothing, start_from=trained.model)

    assert judged.held_out == trained.held_out
    assert {path.name for path in (tmp_path / "judged").iterdir()} == {
        "recipe.json", "split.npz", "model", "evaluation.json"
    }  # fmt: skip
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "judged/model" / name).read_bytes() == (tmp_path / "run/model" / name).read_bytes()


def test_a_model_stored_in_half_precision_is_judged_and_kept_in_float32(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    checkpoint = new_protein_model("nano", trained_length=64, seed=0)
    checkpoint.module.to(torch.float16)
    save_model(tmp_path / "half", write_checkpoint(checkpoint))

    summary = api.pretrain([make_fasta()], tmp_path / "run", nothing, start_from=str(tmp_path / "half"))

    check_evaluation(summary)
    assert api.info(summary.model).stored_dtype == "float32"


def save_model(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("n_steps", [0, 1])
def test_a_contact_head_is_kept_only_with_the_weights_that_it_was_fitted_to(
    n_steps: int, make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    module = MaskedLM(esm2.config(d_model=16, n_layers=2, n_heads=2), with_contacts=True)
    initialise(module, seed=0)
    save_model(tmp_path / "start", write_checkpoint(Checkpoint("ESM-2", module, esm2.tokenizer())))
    recipe = make_recipe(n_steps=n_steps)
    summary = api.pretrain([make_fasta()], tmp_path / "run", recipe, start_from=str(tmp_path / "start"))

    assert api.info(summary.model).has_contact_head == (n_steps == 0)
    assert any("contact heads left out" in notice for notice in summary.notices) == (n_steps > 0)


def test_without_held_out_proteins_all_are_trained_on(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    summary = api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_steps=1, n_held_out=0))
    assert (summary.n_train, summary.n_removed, summary.held_out) == (N_PROTEINS, 0, {})


def test_a_run_goes_on_with_more_steps(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, make_recipe(n_steps=2, log_every=1))
    api.pretrain([fasta], folder, make_recipe(n_steps=4, log_every=1), resume=True)

    assert [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()[1:]] == list(
        "1234"
    )
    assert json.loads((folder / "recipe.json").read_text())["n_steps"] == 4


def test_a_run_that_was_never_begun_can_be_resumed_too(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    check_evaluation(api.pretrain([make_fasta()], tmp_path / "run", nothing, resume=True))


def test_a_file_half_written_by_a_killed_run_is_written_anew(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".recipe.json.partial").write_text("{")
    check_evaluation(api.pretrain([make_fasta()], folder, nothing, resume=True))


def test_a_run_of_another_recipe_is_not_resumed(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, make_recipe(n_steps=0))
    before = (folder / "recipe.json").read_bytes()

    other = make_recipe(n_steps=0, learning_rate=0.5, seed=7)
    with pytest.raises(OutputError) as caught:
        api.pretrain([fasta], folder, other, resume=True)
    assert str(caught.value) == (
        f"{folder}: this folder holds a run with another learning_rate, seed. "
        "Resume it with the same options and data, or choose a new folder"
    )
    assert (folder / "recipe.json").read_bytes() == before


@pytest.mark.parametrize("what", ["encoder", "data_sha256"])
def test_a_run_of_another_model_or_other_data_is_not_resumed(
    what: str, make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    api.pretrain([make_fasta()], folder, nothing)
    fasta = make_fasta(seed=1 if what == "data_sha256" else 0)
    with pytest.raises(OutputError, match=f"another {what}\\. "):
        api.pretrain([fasta], folder, nothing, resume=True, size="small" if what == "encoder" else "nano")


def test_a_folder_with_files_is_not_written_into(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    fasta = make_fasta()

    with pytest.raises(OutputError) as caught:
        api.pretrain([fasta], folder, nothing)
    remedy = "Pass --resume to go on with the run in it, or choose another folder"
    assert str(caught.value) == f"{folder}: the folder is not empty. {remedy}"
    with pytest.raises(OutputError, match="holds files, but no run that could be resumed"):
        api.pretrain([fasta], folder, nothing, resume=True)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_too_few_proteins_to_hold_out_are_refused(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_held_out=N_PROTEINS + 1))
    assert str(caught.value) == (
        "--held-out: group 'proteins.fasta' has 24 proteins of 30 to 1,022 residues, not 25. "
        "Hold out fewer, or give more proteins"
    )


def test_holding_out_everything_leaves_nothing_to_train_on(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="--held-out: every protein resembles a held-out one"):
        api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_held_out=N_PROTEINS))


def refusal(kind: type[BiofmError], *arguments: object, **options: object) -> str:
    with pytest.raises(kind) as caught:
        api.pretrain(*arguments, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_an_unknown_size_is_refused(make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path) -> None:
    message = refusal(OptionError, [make_fasta()], tmp_path / "run", nothing, size="giant")
    assert message == "--size: no such size: giant. Give nano, small, medium"


def test_float16_is_refused(make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path) -> None:
    message = refusal(OptionError, [make_fasta()], tmp_path / "run", nothing, dtype="float16")
    assert message.startswith("--dtype: float16 gradients vanish")


def test_a_model_without_a_head_is_refused(
    make_fasta: MakeFasta, few: PretrainRecipe, tmp_path: Path
) -> None:
    checkpoint = new_protein_model("nano", trained_length=64, seed=0)
    headless = type(checkpoint)(
        checkpoint.family, MaskedLM(checkpoint.module.config, with_head=False), checkpoint.tokenizer
    )
    save_model(tmp_path / "headless", write_checkpoint(headless))
    start_from = str(tmp_path / "headless")
    message = refusal(ModelError, [make_fasta()], tmp_path / "run", few, start_from=start_from)
    assert "no language-model head" in message


def test_standard_input_is_refused(nothing: PretrainRecipe, tmp_path: Path) -> None:
    message = refusal(InputError, ["-"], tmp_path / "run", nothing)
    assert message.endswith("Write the proteins into a file first")


def test_a_bad_record_is_named(make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path) -> None:
    fasta = make_fasta(more=">bad\nMK1\n")
    message = refusal(InputError, [fasta], tmp_path / "run", nothing)
    assert message.startswith("proteins.fasta, record 25 (bad): position 3 holds '1'")


def test_bad_records_are_skipped_and_counted_where_that_is_asked(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    fasta = make_fasta(more=">bad\nMK1\n>empty\n\n>low\nmktay\n")
    summary = api.pretrain([fasta], tmp_path / "run", nothing, on_error="skip")
    assert summary.notices == {"records skipped": 2, "sequences upper-cased": 1}
    assert summary.n_train + summary.n_removed + N_HELD_OUT == N_PROTEINS + 1


def test_a_missing_file_is_named(nothing: PretrainRecipe, tmp_path: Path) -> None:
    message = refusal(InputError, [tmp_path / "none.fasta"], tmp_path / "run", nothing)
    assert message.startswith(f"{tmp_path / 'none.fasta'}: there is no such file")
    assert not (tmp_path / "run").exists()
