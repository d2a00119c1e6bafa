"""A run resumes only with the settings and the data of its start."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from biofm import api
from biofm.api.configuration import read_configuration
from biofm.api.finished import BEGUN_AFRESH
from biofm.core import OptionError, OutputError
from biofm.training import PretrainRecipe

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
CheckEvaluation = Callable[..., None]


def test_a_run_goes_on_with_more_steps(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, make_recipe(n_steps=2, log_every=1))
    api.pretrain([fasta], folder, make_recipe(n_steps=4, log_every=1), resume=True)

    assert [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()[1:]] == list(
        "1234"
    )
    assert "n_steps = 4\n" in (folder / "recipe.toml").read_text()


def test_a_run_does_not_go_on_with_fewer_steps_than_it_has_made(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, make_recipe(n_steps=3))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for n_steps in (0, 2):
        with pytest.raises(OptionError) as caught:
            api.pretrain([fasta], folder, make_recipe(n_steps=n_steps), resume=True)
        assert str(caught.value) == (
            f"--steps: the run in {folder} has already made 3 steps, more than {n_steps}. Give --steps 3 to "
            "judge it as it is, more to train on, or choose another folder"
        )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_that_was_never_begun_can_be_resumed_too(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, check_evaluation: CheckEvaluation
) -> None:
    summary = api.pretrain([make_fasta()], tmp_path / "run", nothing, resume=True)
    check_evaluation(summary)
    assert BEGUN_AFRESH in summary.notices


def test_a_finished_run_is_not_overwritten_and_is_called_finished(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, nothing)
    with pytest.raises(OutputError, match=r"there is a finished run here\. Pass --resume to continue it"):
        api.pretrain([fasta], folder, nothing)


def test_a_file_half_written_by_a_killed_run_is_written_anew(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, check_evaluation: CheckEvaluation
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".recipe.toml.partial").write_text("n_st")
    check_evaluation(api.pretrain([make_fasta()], folder, nothing, resume=True))


def test_an_interrupted_preparation_is_gone_on_with(
    make_fasta: MakeFasta,
    nothing: PretrainRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    check_evaluation: CheckEvaluation,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("biofm.corpus.writing.label_sequences", interrupt)
        with pytest.raises(KeyboardInterrupt):
            api.pretrain(make_fasta(), tmp_path / "run", nothing)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"recipe.toml", "data"}
    check_evaluation(api.pretrain(make_fasta(), tmp_path / "run", nothing, resume=True))


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_a_run_of_another_recipe_is_not_resumed(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, folder = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], folder, make_recipe(n_steps=0))
    before = (folder / "recipe.toml").read_bytes()

    other = make_recipe(n_steps=0, learning_rate=0.5, seed=7, n_held_out=3, decay_share=0.5)
    with pytest.raises(OutputError) as caught:
        api.pretrain([fasta], folder, other, resume=True)
    assert str(caught.value) == (
        f"{folder}: this folder holds a run that differs in --learning-rate, --set decay_share, --seed, "
        "--held-out. "
        "Resume it with the same options and data, or choose a new folder"
    )
    assert (folder / "recipe.toml").read_bytes() == before


def test_a_run_of_another_model_or_other_data_is_not_resumed(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    folder, fasta = tmp_path / "run", make_fasta()
    model = api.pretrain(fasta, folder, nothing).model
    options: dict[str, dict[str, Any]] = {
        "the model (--size or --start-from)": {"size": "small"},
        "the weights of --start-from": {"start_from": model},
        "the data": {},
    }  # fmt: skip
    for what, others in options.items():
        if what == "the data":
            make_fasta(seed=1)
        with pytest.raises(OutputError, match=re.escape(f"differs in {what}. ")):
            api.pretrain(fasta, folder, nothing, resume=True, **others)


def test_what_decides_no_step_may_be_another_one_when_a_run_is_resumed(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    api.pretrain(make_fasta(), tmp_path / "run", nothing)
    other = replace(nothing, n_workers=1, checkpoint_every=7, log_every=2, strategy="ddp", compile=True)
    api.pretrain(make_fasta(), tmp_path / "run", other, resume=True)
    assert read_configuration("pretrain", PretrainRecipe, tmp_path / "run" / "recipe.toml") == other


def test_a_folder_with_files_is_not_written_into(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    fasta = make_fasta()

    with pytest.raises(OutputError) as caught:
        api.pretrain([fasta], folder, nothing)
    what = "the folder is not empty, and holds no run that could be resumed"
    assert str(caught.value) == f"{folder}: {what}. Choose an empty or a new folder"
    with pytest.raises(OutputError, match="holds files, but no run that could be resumed"):
        api.pretrain([fasta], folder, nothing, resume=True)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]
