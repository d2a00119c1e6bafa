"""Every public name passes the gate before it opens, alters, starts or contacts anything, or need not ask."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import biofm
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise
from biofm.policy.files import shipped_text
from tests.api.public_names import (
    ALLOWING,
    CONTROLS,
    REFUSING,
    ROOT,
    STATED,
    WITH_MODEL,
    WITHOUT_MODELS,
    Watched,
    expected,
    public_names,
)
from tests.cli.tables import oiliness, sequences, write
from tests.programs import Smooth, save_array, save_program, some_array

SCRIPT = ROOT / "tests" / "api" / "public_names.py"
EXPECTED = expected()
NO_MODELS = """\
  - rule: no-models
    decision: refuse
    when: {verbs: [load], principals: [person]}
    reason: No model is loaded here.
    remedy: Nothing needs to be done.
"""
Told = dict[str, dict[str, Watched]]


def write_inputs() -> None:
    """Write what the calls take into the current folder."""
    model = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    initialise(model, seed=1)
    Path("esm2").mkdir()
    for name, content in write_checkpoint(Checkpoint("ESM-2", model.eval(), ProteinTokenizer())).items():
        Path("esm2", name).write_bytes(content)
    Path("wild.fasta").write_text(">wild\nMKTAYIAKQR\n")
    Path("variants.csv").write_text("mutant,fitness\nM1W,0.5\nK2W,1.5\nT3W,2.5\n")
    Path("scores.csv").write_text("mutant,fitness,score\nM1W,0.5,1\nK2W,1.5,2\nT3W,2.5,4\n")
    Path("in.fasta").write_text("".join(f">p{i}\n{one}{one}\n" for i, one in enumerate(sequences(24))))
    Path("settings.toml").write_text("log_every = 1\n")
    write("table.csv", oiliness)
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())
    biofm.embed("in.fasta", "in.npz", model="esm2")
    for shard in ("1/2", "2/2"):
        biofm.embed("in.fasta", "in.npz", model="esm2", shard=shard)
    Path("pretrained").mkdir()
    Path("pretrained", "recipe.toml").write_text("n_steps = 2\n")
    biofm.finetune(
        "table.csv", "tuned", target="y", column="sequence", split_column="set", model="esm2", n_folds=0,
        sets=("n_resamples=20",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Return what every name did in a fresh process, below a policy that refuses everything."""
    place = tmp_path_factory.mktemp("walked").resolve()
    folder, own = place / "work", place / "own"
    for one in (folder, own, place / "hub", own / "tmp"):
        one.mkdir()
    text = shipped_text("research").decode().replace("formats: [dicom]", "formats: []")
    (own / REFUSING).write_text(text.replace("decision: allow", "decision: refuse"))
    (own / WITHOUT_MODELS).write_text(text.replace("\n...\n", f"\n{NO_MODELS}...\n"))
    (own / ALLOWING).write_text(text.replace("fetch: [", "fetch: [127.0.0.1, "))
    with pytest.MonkeyPatch.context() as context:
        context.chdir(folder)
        write_inputs()
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_CACHE": str(place / "hub"), "WANDB_MODE": "online",
        "XDG_STATE_HOME": str(own / "state"), "HOME": str(own), "TMPDIR": str(own / "tmp"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, dict[str, list[Any]]] = json.loads(done.stdout.splitlines()[-1])
    return {kind: {name: Watched(*one) for name, one in calls.items()} for kind, calls in answer.items()}


def test_every_public_name_says_whether_it_asks_the_gate() -> None:
    names = set(public_names())
    assert names - EXPECTED.keys() - STATED.keys() == set(), "a public name that nobody has looked at"
    roads = {name for name in EXPECTED if not name.startswith("biofm")}
    assert (EXPECTED.keys() | STATED.keys()) - roads == names, "a name that is no longer there"


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_refused_has_opened_altered_started_and_contacted_nothing(name: str, told: Told) -> None:
    did = told["found"][name]
    verb = EXPECTED[name]
    assert (did.asked, did.ended) == (([verb], "refused") if verb else ([], "completed")), did
    assert did.touched == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", WITH_MODEL)
def test_a_verb_that_is_allowed_opens_no_model_that_is_refused(verb: str, told: Told) -> None:
    did = told["half"][f"biofm.{verb}"]
    assert (did.asked, did.ended) == ([verb, "load"], "refused"), did
    assert [one for one in did.touched if "/esm2/" in one or "/bundled/" in one] == []


@pytest.mark.slow
def test_the_watch_sees_what_is_opened_started_and_contacted_where_it_is_allowed(told: Told) -> None:
    embedded, prepared, fetched = (told["controls"][name].touched for name in CONTROLS)
    for name in ("esm2/model.safetensors", "in.fasta", "new.npz"):
        assert any(one.startswith("open") and name in one for one in embedded)
    if shutil.which("mmseqs"):
        assert any(one.startswith("subprocess.Popen") and "mmseqs" in one for one in prepared)
    assert any(one.startswith("socket.connect") for one in fetched)
