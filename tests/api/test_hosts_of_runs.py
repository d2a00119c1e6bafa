"""The hosts that a run will contact stand in its request, and so in the ledger, before any is contacted."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import biofm
from biofm.api import finetune, pretrain
from biofm.core import MissingExtraError, ModelError, RefusedError
from biofm.training import PretrainRecipe
from tests.conftest import ReadLedger

WEIGHTS_AND_BIASES = ["api.wandb.ai", "storage.googleapis.com"]


def begin_to_pretrain(folder: Path, project: str) -> None:
    (folder / "in.fasta").write_text(">a\nMKTAYIAKQR\n>b\nACDEFGHIKL\n")
    recipe = PretrainRecipe(n_steps=0, tokens_per_batch=128, n_held_out=0, wandb=project)
    pretrain(folder / "in.fasta", folder / "run", recipe)


def begin_to_finetune(folder: Path, project: str) -> None:
    rows = "".join(f"{'ACDEFGHIKLMN'[i % 12]}MKTAYIAKQR,{i}\n" for i in range(60))
    (folder / "in.csv").write_text("sequence,y\n" + rows)
    finetune(
        folder / "in.csv", folder / "run",
        column="sequence", target="y", method="lora", n_steps=1, sets=[f"wandb={project}"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "verb"), [(begin_to_pretrain, "pretrain"), (begin_to_finetune, "finetune")]
)
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_run_that_logs_to_weights_and_biases_names_its_hosts(
    begin: Callable[[Path, str], None],
    verb: str,
    mode: str,
    tmp_path: Path,
    read_ledger: ReadLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec  # without the package a run ends as soon as its request is written down
    missing = {"wandb": None}
    monkeypatch.setattr(
        "biofm.training.weights_and_biases.find_spec", lambda name: missing.get(name, find(name))
    )
    monkeypatch.setenv("WANDB_MODE", mode)

    with pytest.raises(MissingExtraError):
        begin(tmp_path, "mine")

    ((hosts, decision),) = read_ledger(f"SELECT hosts, decision FROM requests WHERE verb = '{verb}'")
    assert json.loads(hosts) == (WEIGHTS_AND_BIASES if mode == "online" else [])
    assert decision == "allow"


@pytest.mark.parametrize(
    ("begin", "verb"), [(begin_to_pretrain, "pretrain"), (begin_to_finetune, "finetune")]
)
def test_a_server_that_the_policy_does_not_know_is_refused_before_any_work(
    begin: Callable[[Path, str], None],
    verb: str,
    tmp_path: Path,
    read_ledger: ReadLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    with pytest.raises(RefusedError, match=r"this request contacts wandb\.example\.org"):
        begin(tmp_path, "mine")
    ((contacts, decision),) = read_ledger(f"SELECT hosts, decision FROM requests WHERE verb = '{verb}'")
    assert (json.loads(contacts), decision) == (["wandb.example.org"], "refuse")


def test_without_a_project_nobody_is_contacted(tmp_path: Path, read_ledger: ReadLedger) -> None:
    begin_to_pretrain(tmp_path, "")
    assert {hosts for (hosts,) in read_ledger("SELECT hosts FROM requests")} == {"[]"}


@pytest.mark.parametrize(
    ("endpoint", "offline", "hosts"),
    [
        ("https://huggingface.co", False, ("huggingface.co", "*.huggingface.co", "*.hf.co")),
        ("https://hub.example.org", False, ("hub.example.org",)),
        ("https://huggingface.co", True, ()),
    ],
)
def test_a_model_is_fetched_from_the_host_that_stands_in_the_request(
    endpoint: str,
    offline: bool,
    hosts: tuple[str, ...],
    read_ledger: ReadLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("biofm.models.fetch", lambda location, hosts: Path("nowhere"))

    with pytest.raises((ModelError, RefusedError)):
        biofm.load("esm2-8m")

    ((named, decision),) = read_ledger("SELECT hosts, decision FROM requests WHERE verb = 'fetch'")
    assert tuple(json.loads(named)) == hosts
    assert decision == ("refuse" if "example" in endpoint else "allow")
