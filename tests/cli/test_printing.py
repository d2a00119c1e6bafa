"""What a name from a file can do to the terminal that shows it: nothing."""

import json
import logging
import warnings
from pathlib import Path
from shutil import copytree
from typing import Any

import pandas as pd
import pytest

from biofm.cli.printing import print_traceback
from tests.cli.tables import CELLS, FEW, sequences
from tests.cli.test_evaluate import TABLE as ASSAY

# Renames the window, empties the screen, colours by a C1 control, turns the writing's direction, deletes.
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\x7f[bold]"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\x9b31m\u202e\x7f[bold]"

FASTA = f"{HOSTILE}.fasta"
FAULTY = f"faulty-{HOSTILE}.fasta"
WILD_TYPE = ("-w", FASTA, "--on-error", "stop")
TABLE = ("t.csv", "--column", "sequence")
PRETRAIN = ("pretrain", FASTA, "-o", f"run-{HOSTILE}", "--steps", "1", "--held-out", "0", "-q")
EMBED = ("embed", FASTA, "-m", "MODEL", "-o")
CONTACTS = ("contacts", FASTA, "-m", "protein-nano", "-o", f"{HOSTILE}.csv")

PRINTING = {
    "embed, a faulty record": ("embed", FAULTY, "-o", "out.csv"),
    "embed, its summary": (*EMBED, f"{HOSTILE}.csv"),
    "embed, an estimate of a faulty file": ("embed", FAULTY, "-o", "out.csv", "--estimate"),
    "embed, a table's columns": ("embed", *TABLE[:2], "seq", "-o", "out.csv"),
    "embed, a program's object": (*EMBED, f"{HOSTILE}.npz", "--json"),
    "neighbours": ("neighbours", "e.h5ad"),
    "neighbours, a program's object": ("neighbours", "e.h5ad", "--json"),
    "score, a variant of no kind": ("score", "v.csv", *WILD_TYPE, "-o", "out.csv"),
    "perplexity, its summary": ("perplexity", FASTA, "-m", "MODEL", "-o", f"{HOSTILE}.csv"),
    "contacts, a structure": (*CONTACTS, "--structure", FASTA),
    "evaluate, a score's column": (
        "evaluate", "assay.csv", "--measured-column", "fitness", "--score-column", HOSTILE, "--resamples", "0"
    ),
    "finetune, a target's column": (
        "finetune", "t.csv", "--column", "sequence", "--target", HOSTILE, "-m", "MODEL", "-o", "run", *FEW
    ),
    "predict, a faulty record": ("predict", FAULTY, "-p", f"run-{HOSTILE}", "-o", "out.csv"),
    "data prepare, its inputs": ("data", "prepare", FASTA, "-o", "store"),
    "data describe, its inputs": ("data", "describe", FASTA, "--quiet"),
    "merge, what is no shard": ("merge", FASTA, "-o", "out.csv"),
    "info, a configuration": ("info", "model"),
    "pretrain, a configuration": (*PRETRAIN, "--config", "c.toml"),
    "pretrain, its summary": (*PRETRAIN, "--start-from", "MODEL"),
    "wrong usage": ("embed", "p.fasta", FASTA, "-o", "out.csv"),
    "a command that is not there": (HOSTILE,),
}  # fmt: skip


@pytest.fixture
def _hostile_files(biofm: Any, tmp_path: Path, tiny_esm2: Path) -> None:
    proteins = [f">{HOSTILE}\n{one}\n" for one in sequences(8)]
    Path(FASTA).write_text("".join(proteins))
    Path(FAULTY).write_text("".join(proteins) + f">{HOSTILE}\nMK7\n")
    labels = map(CELLS["classification"], sequences(40))
    frame = pd.DataFrame(
        {"id": HOSTILE, "sequence": sequences(40), HOSTILE: [f"{HOSTILE}{y}" for y in labels]}
    )
    frame.to_csv("t.csv", index=False)
    Path("v.csv").write_text(f"mutant,{HOSTILE}\n{HOSTILE},1\n")
    Path("assay.csv").write_text(ASSAY.replace("score", HOSTILE))
    Path("c.toml").write_text(f"{json.dumps(HOSTILE, ensure_ascii=True)} = 1\n".replace("\x7f", r"\u007f"))
    copytree(tiny_esm2, "model")
    configuration = json.loads(Path("model/config.json").read_text()) | {"model_type": HOSTILE}
    Path("model/config.json").write_text(json.dumps(configuration))


@pytest.mark.filterwarnings("ignore:Glyph")  # of pictures, whose font lacks some controls
@pytest.mark.usefixtures("_hostile_files")
@pytest.mark.parametrize("case", PRINTING)
def test_names_from_files_are_shown_and_steer_no_terminal(case: str, biofm: Any, tiny_esm2: Path) -> None:
    words = [str(tiny_esm2) if word == "MODEL" else word for word in PRINTING[case]]
    if case.startswith("neighbours"):
        assert biofm("embed", FASTA, "-m", tiny_esm2, "-o", "e.h5ad", "-q").status == 0
    outcome = biofm(*words)
    said = outcome.out + outcome.err
    assert (r"\u001b]0;pwned" if "--json" in words else SHOWN) in said
    assert all(letter.isprintable() for letter in said.replace("\n", "")), said


def test_what_libraries_say_is_shown_too(biofm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert biofm("--version").status == 0
    warning = warnings.formatwarning(f"of {HOSTILE}", UserWarning, FASTA, 1)
    record = logging.getLogger("of.a.library").makeRecord("", 40, FASTA, 1, "%s\n", (HOSTILE,), None)
    print_traceback(ValueError, ValueError(HOSTILE), None)
    for said in (warning, record.getMessage(), capsys.readouterr().err):
        assert SHOWN in said
        assert all(letter.isprintable() for letter in said.replace("\n", ""))


def test_files_keep_the_values_as_they_are(biofm: Any, tiny_esm2: Path) -> None:
    proteins = sequences(2)
    frame = pd.DataFrame({"id": [HOSTILE, "=1+1"], "sequence": proteins})
    frame.to_csv("t.csv", index=False)
    assert biofm("embed", *TABLE, "-m", tiny_esm2, "-o", "out.csv", "--json").status == 0
    assert pd.read_csv("out.csv")["id"].tolist() == [HOSTILE, "=1+1"]
