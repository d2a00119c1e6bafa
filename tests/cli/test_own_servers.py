"""A mirror of the hub and a server of one's own for the log: each works as soon as a policy lists it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from biofm.policy.files import shipped_text
from tests.cli.tables import sequences
from tests.ledgers import open_ledger
from tests.servers import Hub, WeightsAndBiases, serving

Run = Callable[..., "subprocess.CompletedProcess[str]"]

FETCH = 'fetch: [huggingface.co, "*.huggingface.co", "*.hf.co"]'
PRETRAIN = "pretrain: [api.wandb.ai, storage.googleapis.com]"
WORDS = (
    "pretrain", "in.fasta", "-o", "run", "--steps", "2", "--held-out", "4", "--warmup", "1",
    "--tokens-per-batch", "128", "--max-length", "64", "--quiet", "--set", "wandb=mine",
)  # fmt: skip
KEY = "a" * 40


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Returns a function that runs ``biofm`` in a fresh process, by these variables, in an empty folder."""

    def run_with(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("HF_", "WANDB_", "BIOFM_POLICY"))
            },
            "PYTHONPATH": os.pathsep.join(sys.path), "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"), "HF_HOME": str(tmp_path / "hub"), **variables,
        }  # fmt: skip
        command = [sys.executable, "-m", "biofm.cli", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )

    return run_with


def write_policy(folder: Path, old: str, new: str) -> None:
    text = shipped_text("research").decode()
    assert old in text
    (folder / "lab.yaml").write_text(text.replace(old, new).replace("policy: research", "policy: lab"))


def hosts_of(folder: Path, verb: str) -> tuple[list[str], str]:
    """Return the hosts of the only request of a verb, and its decision."""
    query = f"SELECT hosts, decision FROM requests WHERE verb = '{verb}'"
    with closing(open_ledger(folder / "state" / "biofm" / "ledger.sqlite3")) as ledger:
        ((hosts, decision),) = ledger.execute(query).fetchall()
    return json.loads(hosts), decision


@pytest.fixture
def model(tiny_esm2: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in tiny_esm2.iterdir()}


def test_a_mirror_that_the_policy_lists_serves_models(
    model: dict[str, bytes], run: Run, tmp_path: Path
) -> None:
    write_policy(tmp_path, FETCH, "fetch: [127.0.0.1, localhost]")
    with serving(Hub, leads={}, files=model) as hub:
        hub.leads["model.safetensors"] = f"http://localhost:{hub.port}"  # its file store
        done = run(
            "--policy", "lab.yaml", "info", "a/b", "--json", HF_ENDPOINT=f"http://127.0.0.1:{hub.port}"
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["family"] == "ESM-2"
    assert {visit.partition(" ")[0] for visit in hub.visits} == {"127.0.0.1", "localhost"}
    assert hosts_of(tmp_path, "fetch") == (["127.0.0.1", "localhost"], "allow")


def test_a_mirror_that_the_policy_does_not_list_is_refused_with_what_to_do(
    model: dict[str, bytes], run: Run, tmp_path: Path
) -> None:
    with serving(Hub, leads={}, files=model) as hub:
        done = run("info", "a/b", HF_ENDPOINT=f"http://127.0.0.1:{hub.port}")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "biofm: fetch: the policy does not allow this (rule 'research: a closed list of hosts for each verb')"
    )
    assert "*.huggingface.co and *.hf.co, but this request contacts 127.0.0.1. To allow it," in done.stderr
    assert "save `biofm policy show research` as ~/.config/biofm/policy.yaml" in done.stderr
    assert hub.visits == []
    assert hosts_of(tmp_path, "fetch") == (["127.0.0.1"], "refuse")


def test_a_mirror_may_not_lead_where_the_policy_does_not_list(
    model: dict[str, bytes], run: Run, tmp_path: Path
) -> None:
    write_policy(tmp_path, FETCH, "fetch: [127.0.0.1]")
    with serving(Hub, leads={}, files=model) as hub:
        hub.leads["model.safetensors"] = f"http://localhost:{hub.port}"
        done = run("--policy", "lab.yaml", "info", "a/b", HF_ENDPOINT=f"http://127.0.0.1:{hub.port}")
    assert done.returncode == 1
    assert "the hub leads to localhost, but this request may contact 127.0.0.1" in done.stderr
    assert {visit.partition(" ")[0] for visit in hub.visits} == {"127.0.0.1"}


def test_a_second_policy_that_does_not_list_the_mirror_refuses_it(
    model: dict[str, bytes], run: Run, tmp_path: Path
) -> None:
    """The option is not laxer than what the variable names."""
    write_policy(tmp_path, FETCH, "fetch: [127.0.0.1]")
    with serving(Hub, leads={}, files=model) as hub:
        address = f"http://127.0.0.1:{hub.port}"
        done = run("--policy", "lab.yaml", "info", "a/b", HF_ENDPOINT=address, BIOFM_POLICY="research")
    assert done.returncode == 1
    assert "rule 'research: a closed list of hosts for each verb'" in done.stderr
    assert hub.visits == []


@pytest.fixture
def _proteins(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed here")
    text = "".join(f">p{i}\n{one}{one}\n" for i, one in enumerate(sequences(24)))
    (tmp_path / "in.fasta").write_text(text)


@pytest.mark.slow
@pytest.mark.usefixtures("_proteins")
def test_a_server_for_the_log_that_the_policy_lists_gets_it(run: Run, tmp_path: Path) -> None:
    write_policy(tmp_path, PRETRAIN, "pretrain: [127.0.0.1]")
    with serving(WeightsAndBiases, sent=[]) as server:
        address = f"http://127.0.0.1:{server.port}"
        done = run("--policy", "lab.yaml", *WORDS, WANDB_BASE_URL=address, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert any(visit.endswith("/file_stream") for visit in server.visits)
    assert "wandb-summary.json" in server.sent
    assert hosts_of(tmp_path, "pretrain") == (["127.0.0.1"], "allow")


@pytest.mark.usefixtures("_proteins")
def test_a_server_for_the_log_that_the_policy_does_not_list_is_refused_with_what_to_do(
    run: Run, tmp_path: Path
) -> None:
    with serving(WeightsAndBiases, sent=[]) as server:
        done = run(*WORDS, WANDB_BASE_URL=f"http://127.0.0.1:{server.port}", WANDB_API_KEY=KEY)
    assert done.returncode == 1
    assert (
        "pretrain may contact api.wandb.ai and storage.googleapis.com, but this request contacts 127.0.0.1"
        in done.stderr
    )
    assert "list the host in the file of the policy under hosts, pretrain" in done.stderr
    assert server.visits == []
    assert not (tmp_path / "run").exists()
