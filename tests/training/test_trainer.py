"""A run's rows go to TensorBoard, and to Weights & Biases only if the recipe asks for that."""

import importlib.util
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from biofm.core import MissingExtraError, OptionError
from biofm.training import PretrainRecipe
from biofm.training.log import read_log
from biofm.training.weights_and_biases import hosts_of

Train = Callable[..., dict[str, Tensor]]
MakeRecipe = Callable[..., PretrainRecipe]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return what TensorBoard shows: the value at each step, by name."""
    events = EventAccumulator(str(folder / "tensorboard")).Reload()  # type: ignore[no-untyped-call]
    return {
        name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]
    }


def test_tensorboard_shows_the_rows_of_the_table(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    train(make_recipe(validate_every=4), tmp_path)
    shown = scalars(tmp_path)
    for row in read_log(tmp_path / "metrics.csv"):
        step = int(row.pop("step"))
        for name, value in row.items():
            assert shown[name][step] == pytest.approx(value, rel=1e-2), name
    assert set(shown["validation_loss"]) == {4, 8}


def test_what_a_run_logged_behind_its_last_checkpoint_is_made_void(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    def die(stage: str, done: int, total: int, detail: str = "") -> None:
        if done == 5:
            raise EOFError

    with pytest.raises(EOFError):
        train(make_recipe(log_every=1, checkpoint_every=3), tmp_path, die)
    assert max(scalars(tmp_path)["loss"]) == 5
    train(make_recipe(log_every=2, checkpoint_every=3), tmp_path)
    assert set(scalars(tmp_path)["loss"]) == {1, 2, 3, 4, 6, 8}


def test_without_wandb_installed_asking_for_it_names_the_extra(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "biofm.training.weights_and_biases.find_spec", lambda name: None if name == "wandb" else find(name)
    )
    with pytest.raises(MissingExtraError) as caught:
        train(make_recipe(wandb="mine"), tmp_path)
    assert str(caught.value) == (
        "--set wandb: Weights & Biases is not installed. In the checkout of biofm, run: "
        "pip install --constraint constraints.txt '.[train-extras]'"
    )
    assert not (tmp_path / "metrics.csv").exists()


def test_a_run_names_whom_it_contacts_and_by_default_contacts_nobody(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert hosts_of("pretrain", make_recipe()) == ()
    assert hosts_of("pretrain", make_recipe(wandb="mine")) == ("api.wandb.ai", "storage.googleapis.com")
    for mode in ("offline", "dryrun", "disabled"):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert hosts_of("pretrain", make_recipe(wandb="mine")) == ()


def test_a_run_names_the_server_that_the_environment_names(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8443")
    assert hosts_of("pretrain", make_recipe(wandb="mine")) == ("wandb.example.org",)
    monkeypatch.setenv("WANDB_BASE_URL", "")
    assert hosts_of("pretrain", make_recipe(wandb="mine")) == ("api.wandb.ai", "storage.googleapis.com")


@pytest.mark.parametrize(
    "server", ["https://api.wandb.ai.", "https://api.wandb.ai@host.example", "2130706433"]
)
def test_a_server_that_is_not_spelled_as_usual_is_an_error(
    server: str, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    with pytest.raises(OptionError, match=r"^WANDB_BASE_URL: ") as caught:
        hosts_of("pretrain", make_recipe(wandb="mine"))
    assert caught.value.remedy.startswith("Correct the variable; or set WANDB_MODE=offline")


@pytest.mark.slow
def test_wandb_gets_the_run_where_it_is_asked_for(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions of one run, kept on this machine, both have the run's name."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(make_recipe(n_steps=3, wandb="mine"), tmp_path)
    assert wandb.run is None  # the log is closed: the next run in this process is another one
    train(make_recipe(n_steps=6, wandb="mine"), tmp_path)
    run_id = (tmp_path / "wandb" / "run-id").read_text()
    sessions = list((tmp_path / "wandb").glob("offline-run-*"))
    assert [path.name.rsplit("-", 1)[1] for path in sessions] == [run_id] * 2
    for session in sessions:
        content = (session / f"run-{run_id}.wandb").read_bytes()
        assert b"tokens_per_second" in content
        assert b"masked_share" in content


def test_wandb_without_a_key_is_one_clear_error(
    train: Train, make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    no_key = "(No API key|api_key not configured)"  # messages of newer and older versions of wandb
    with pytest.raises(OptionError, match=rf"^--set wandb: Weights & Biases cannot be used \({no_key}"):
        train(make_recipe(wandb="mine"), tmp_path / "run")


@pytest.mark.slow
def test_without_being_asked_for_wandb_is_not_even_imported(
    python_run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    program = f"""
import sys
from biofm import api
from biofm.training import PretrainRecipe
recipe = PretrainRecipe(n_steps=1, tokens_per_batch=128, n_held_out=0)
api.pretrain({str(tmp_path / "a.fasta")!r}, {str(tmp_path / "run")!r}, recipe)
print("lightning" in sys.modules, "wandb" in sys.modules)
"""
    (tmp_path / "a.fasta").write_text(">a\nMKTAYIAKQR\n>b\nACDEFGHIKL\n")
    result = python_run("-c", program)
    assert result.stdout.split() == ["True", "False"], result.stderr
