"""A run reports what it cannot do in one line, before it starts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from biofm import api
from biofm.core import InputError, ModelError, OptionError, OutputError
from biofm.models import Checkpoint, new_model
from biofm.nn import MaskedLM
from biofm.training import PretrainRecipe

MakeRecipe = Callable[..., PretrainRecipe]
MakeFasta = Callable[..., Path]
Refusal = Callable[..., str]
SaveModel = Callable[[str, Checkpoint], str]
N_PROTEINS = 24
N_HELD_OUT = 4


def test_too_few_proteins_to_hold_out_are_refused(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_held_out=N_PROTEINS + 1))
    assert str(caught.value) == (
        "--held-out: 25 of 24 sequences of 30 to 1,022 residues cannot be held out. "
        "Hold out fewer, for example --held-out 6, or give more data"
    )


def test_a_refused_run_leaves_nothing_so_that_the_next_one_can_begin(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    fasta, made_before = make_fasta(), tmp_path / "made before"
    made_before.mkdir()
    for folder in (tmp_path / "run", made_before):
        with pytest.raises(OptionError, match="500 is the default; for 24 sequences, give for example"):
            api.pretrain([fasta], folder, make_recipe(n_steps=0, n_held_out=500))
    assert not (tmp_path / "run").exists()
    assert not list(made_before.iterdir()), "its owner made the folder, and it stays"
    api.pretrain([fasta], tmp_path / "run", make_recipe(n_steps=0, n_held_out=6))


def test_a_refusal_takes_nothing_from_a_run_that_is_resumed(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    run = tmp_path / "run"
    api.pretrain([make_fasta()], run, nothing)
    before = sorted(run.rglob("*"))
    refusal(OptionError, [make_fasta()], run, nothing, resume=True, dtype="float16")
    assert sorted(run.rglob("*")) == before


def test_holding_out_everything_leaves_nothing_to_train_on(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="--held-out: 24 of 24 sequences"):
        api.pretrain([make_fasta()], tmp_path / "run", make_recipe(n_held_out=N_PROTEINS))


def test_what_resembles_held_out_proteins_and_nothing_else_leaves_nothing_to_train_on(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    copies = tmp_path / "copies.fasta"
    copies.write_text("".join(f">p{i}\n{'MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ'}{'A' * i}\n" for i in range(9)))
    with pytest.raises(OptionError, match="--held-out: nothing is left to train on"):
        api.pretrain(copies, tmp_path / "run", make_recipe(n_held_out=1))


def test_an_unknown_size_is_refused(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    message = refusal(OptionError, [make_fasta()], tmp_path / "run", nothing, size="giant")
    assert message == "--size: no such size: giant. Give nano, small, medium"


def test_float16_is_refused(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    message = refusal(OptionError, [make_fasta()], tmp_path / "run", nothing, dtype="float16")
    assert message.startswith("--dtype: float16 gradients vanish")


def test_a_model_without_a_head_is_refused(
    make_fasta: MakeFasta, few: PretrainRecipe, tmp_path: Path, refusal: Refusal, save_model: SaveModel
) -> None:
    checkpoint = new_model("nano", trained_length=64, seed=0)
    headless = type(checkpoint)(
        checkpoint.family, MaskedLM(checkpoint.module.config, with_head=False), checkpoint.tokenizer
    )
    start_from = save_model("headless", headless)
    message = refusal(ModelError, [make_fasta()], tmp_path / "run", few, start_from=start_from)
    assert "no language-model head" in message


def test_standard_input_is_refused(nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(InputError, ["-"], tmp_path / "run", nothing)
    assert message.endswith("Write the proteins into a file first")


def test_a_bad_record_is_named(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    fasta = make_fasta(more=">bad\nMK1\n")
    message = refusal(InputError, [fasta], tmp_path / "run", nothing)
    assert message.startswith("proteins.fasta, record 25 (bad): position 3 holds '1'")


def test_bad_records_are_skipped_and_counted_where_that_is_asked(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path
) -> None:
    fasta = make_fasta(more=">bad\nMK1\n>empty\n\n>low\nmktay\n")
    summary = api.pretrain([fasta], tmp_path / "run", nothing, on_error="skip")
    assert summary.notices == {
        "records skipped": 2,
        "Skipped: proteins.fasta, record 25 (bad): position 3 holds '1', which no protein alphabet has.": 1,
        "Skipped: proteins.fasta, record 26 (empty): the sequence is empty.": 1,
        "sequences upper-cased": 1,
    }
    assert summary.n_train + summary.n_removed + N_HELD_OUT == N_PROTEINS + 1


def test_a_run_is_not_resumed_with_another_treatment_of_gaps(
    make_fasta: MakeFasta, nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    fasta, run = make_fasta(more=">aligned\nM-KTAYIAK\n"), tmp_path / "run"
    summary = api.pretrain([fasta], run, nothing)
    assert summary.notices == {"sequences whose alignment gaps (- and .) were dropped": 1}
    message = refusal(OutputError, [fasta], run, nothing, gaps="keep", resume=True)
    assert "this folder holds a run that differs in --gaps. " in message


def test_a_checkpoint_of_a_version_that_did_not_count_what_it_judged_is_not_gone_on_with(
    make_fasta: MakeFasta, make_recipe: MakeRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    fasta, run = make_fasta(), tmp_path / "run"
    api.pretrain([fasta], run, make_recipe(n_steps=2, log_every=4, n_held_out=0))
    (path,) = (run / "checkpoints").glob("step-*.ckpt")
    content = torch.load(path, weights_only=True)
    content["callbacks"]["MetricsLog"]["losses"] = [2.5, 2.5]
    torch.save(content, path)

    longer = make_recipe(n_steps=4, log_every=4, n_held_out=0)
    message = refusal(OutputError, [fasta], run, longer, resume=True)

    assert "from an earlier version of biofm, which this version cannot resume" in message


def test_a_missing_file_is_named(nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal) -> None:
    message = refusal(InputError, [tmp_path / "none.fasta"], tmp_path / "run", nothing)
    assert message.startswith(f"{tmp_path / 'none.fasta'}: there is no such file")
    assert not (tmp_path / "run").exists()


def test_nothing_to_validate_on_is_said_before_training(
    make_store: Callable[..., Path], make_recipe: MakeRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    message = refusal(OptionError, make_store(), tmp_path / "run", make_recipe(validate_every=5))
    assert message == (
        "--set validate_every: the data has no validation part. "
        "Give --set n_validation=200, or a store prepared with --validation; or leave this out"
    )


def test_a_folder_that_is_no_store_is_refused(
    nothing: PretrainRecipe, tmp_path: Path, refusal: Refusal
) -> None:
    (tmp_path / "photos").mkdir()
    message = refusal(InputError, tmp_path / "photos", tmp_path / "run", nothing)
    assert message == (
        f"{tmp_path / 'photos'}: this folder holds no token store. "
        "Make one with biofm data prepare, or give files"
    )


def test_a_store_beside_other_inputs_is_refused(
    make_store: Callable[..., Path],
    make_fasta: MakeFasta,
    nothing: PretrainRecipe,
    tmp_path: Path,
    refusal: Refusal,
) -> None:
    message = refusal(InputError, [make_store(), make_fasta()], tmp_path / "run", nothing)
    assert message == (
        f"{tmp_path / 'store'}: a folder cannot be combined with other inputs. "
        "Give files, or one prepared store alone"
    )
