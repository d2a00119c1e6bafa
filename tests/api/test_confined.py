"""Where a policy requires confinement, a whole verb is performed in a worker, with the same result."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import biofm
from biofm.api import confined
from biofm.api.declaration import name_of
from biofm.api.embed import Embed
from biofm.api.worker import declaration_in
from biofm.api.workers import PERFORMED, VERB_WORKER, WORKERS
from biofm.core import InputError, RefusedError
from biofm.core.progress import ProgressSink
from biofm.gate import labels_held, policies_in_force, policy_in_force, principal_of_account
from biofm.policy import Labels
from biofm.policy.files import shipped_text
from tests.conftest import ReadLedger

PROTEINS = str(Path(biofm.__file__).with_name("examples") / "proteins.fasta")
CONFINED = shipped_text("research").decode().replace("confinement: notice", "confinement: required")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the file of a policy like ``research`` that requires confinement, in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "confined.yaml"
    path.write_text(CONFINED)
    return str(path)


@pytest.fixture
def required(policy: str) -> Iterator[None]:
    """Require confinement within a test."""
    with policy_in_force(policy):
        yield


def test_embed_in_a_worker_makes_the_same_file(policy: str, read_ledger: ReadLedger) -> None:
    free = biofm.embed(PROTEINS, "free.npz")
    told: list[tuple[str, float | None]] = []
    with policy_in_force(policy):
        verb = Embed(PROTEINS, "confined.npz")
        found = confined.perform("embed", verb, ProgressSink(listener=lambda *it: told.append(it)))
    assert Path("free.npz").read_bytes() == Path("confined.npz").read_bytes()
    assert (found.n_rows, found.provenance, found.notices) == (free.n_rows, free.provenance, free.notices)
    assert {label for label, _ in told} == {"embedding", "writing"}
    entries = [json.loads(body) for (body,) in read_ledger("SELECT body FROM entries")]
    (told_of,) = (one for one in entries if one["kind"] == "confinement")
    assert (told_of["module"], told_of["end"]) == (VERB_WORKER, "finished")
    assert sorted(told_of["layers"]) == ["landlock", "limits", "seccomp"]
    assert [path for path in os.listdir() if path.startswith(".")] == []


@pytest.mark.usefixtures("required")
def test_an_error_of_the_verb_comes_back_as_it_is() -> None:
    Path("bad.fasta").write_text(">a\nMKT1\n")
    with pytest.raises(InputError, match=r"^bad.fasta, record 1 \(a\): position 4 holds '1'"):
        biofm.embed("bad.fasta", "bad.npz")
    assert not Path("bad.npz").exists()


@pytest.mark.usefixtures("required")
@pytest.mark.parametrize(
    "call",
    [
        lambda: biofm.prepare(PROTEINS, "store"),
        lambda: Embed(PROTEINS, "out.npz").estimate(),
        lambda: Embed(PROTEINS, "out.npz").run(),
        lambda: biofm.load("protein-nano"),
    ],
    ids=["a verb without a worker", "an estimate", "a verb in the caller's process", "an unsigned model"],
)
def test_nothing_reads_files_outside_a_worker(call: Callable[[], Any]) -> None:
    with pytest.raises(RefusedError, match="the kernel confines"):
        call()
    assert not Path("store").exists()
    assert not Path("out.npz").exists()


@pytest.mark.usefixtures("required", "state_folder")
def test_a_file_that_only_a_parser_understands_counts_as_private_before_the_verdict() -> None:
    Path("rows.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n that would break a parser")
    with pytest.raises(InputError):
        biofm.neighbours("rows.h5ad")
    assert Labels.PRIVATE in labels_held(principal_of_account(), policies_in_force())


def test_every_verb_with_this_worker_says_how_it_is_performed() -> None:
    assert {verb for verb, module in WORKERS.items() if module == VERB_WORKER} == set(PERFORMED)
    for name, performed in PERFORMED.items():
        assert name_of(declaration_in(performed.module)) == name


def _variants() -> None:
    rows = ["mutant,measured,base", *(f"M1{one},0.{i},{i % 3}" for i, one in enumerate("ACDEFGHI", 1))]
    Path("variants.csv").write_text("\n".join(rows))
    Path("wild.fasta").write_text(">wild\nMKVREAAWTLLKKMMGGAS\n")


def _score() -> Any:
    _variants()
    return biofm.score("variants.csv", "scores.csv", wild_type="wild.fasta", overwrite=True)


def _evaluate() -> Any:
    _variants()
    return biofm.evaluate("variants.csv", measured_column="measured", score_column="base")


def _merge() -> Any:
    for shard in ("1/2", "2/2"):
        biofm.embed(PROTEINS, "merged.npz", shard=shard, overwrite=True)
    return biofm.merge(["merged.npz.shard-1-of-2", "merged.npz.shard-2-of-2"], "merged.npz", overwrite=True)


def _neighbours() -> Any:
    biofm.embed(PROTEINS, "rows.h5ad", overwrite=True)
    return biofm.neighbours("rows.h5ad", picture="similar.svg", overwrite=True)


def _perplexity() -> Any:
    _variants()
    return biofm.perplexity("wild.fasta", "perplexities.csv", overwrite=True)


VERBS: dict[str, tuple[Callable[[], Any], str]] = {
    "describe": (lambda: biofm.describe(PROTEINS), ""),
    "evaluate": (_evaluate, ""),
    "merge": (_merge, "merged.npz"),
    "neighbours": (_neighbours, "rows.h5ad"),
    "perplexity": (_perplexity, "perplexities.csv"),
    "score": (_score, "scores.csv"),
}


def _content_of(output: str) -> Any:
    """Return what a file holds, of an archive all but its labels.

    Where confinement is required, the gate's process parses no shard, so that what is merged is private.
    """
    if not output.endswith(".npz"):
        return Path(output).read_bytes() if output else b""
    with np.load(output) as archive:
        content = {member: archive[member].tolist() for member in archive.files}
    provenance = json.loads(content.pop("provenance"))
    del provenance["labels"]
    return content, provenance


@pytest.mark.slow
@pytest.mark.parametrize("name", VERBS)
def test_each_verb_in_a_worker_finds_the_same(name: str, policy: str) -> None:
    call, output = VERBS[name]
    free, made = call(), _content_of(output)
    with policy_in_force(policy):
        found = call()
    assert made == _content_of(output)
    assert type(found) is type(free)
    for field in free.__dataclass_fields__:
        if "second" not in field:
            ours, theirs = getattr(found, field), getattr(free, field)
            assert np.all(ours == theirs) if isinstance(theirs, np.ndarray) else ours == theirs, field


@pytest.mark.slow
def test_an_interrupted_worker_ends_and_its_work_is_resumed(policy: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    rows = (f">p{i}\nM{''.join(rng.choice(letters, 250))}\n" for i in range(1000))
    Path("many.fasta").write_text("".join(rows))
    words = [sys.executable, "-m", "biofm.cli", "--policy", policy, "embed", "many.fasta", "-o", "many.npz"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    run = subprocess.Popen([*words, "--quiet"], env=environment, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / ".many.npz.run" / "journal.sqlite3"
    for _ in range(600):
        time.sleep(0.1)
        if journal.is_file() and journal.stat().st_size > 1 << 18:
            break
    worker = int(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()[0])
    status = Path(f"/proc/{worker}/status").read_text()
    assert "Seccomp:\t2" in status
    assert "NoNewPrivs:\t1" in status
    run.send_signal(signal.SIGINT)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "repeat the command with --resume" in told
    with suppress(FileNotFoundError):
        assert "State:\tZ" in Path(f"/proc/{worker}/status").read_text()
    assert not list(tmp_path.glob("biofm-worker-*"))
    subprocess.run([*words, "--quiet", "--resume"], env=environment, check=True, capture_output=True)
    biofm.embed("many.fasta", "whole.npz")
    assert (tmp_path / "many.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
