"""DNA and molecules given to verbs of proteins: one line, status 1, nothing written; and how to insist."""

from pathlib import Path
from random import Random

import pytest

from tests.cli.conftest import Biofm

DNA = ">chr\n" + "".join(Random(0).choices("ACGT", k=400)) + "\n"
SMILES = "id,smiles,y\na,CCCl,1\nb,CCCCBr,2\nc,CCO,3\n"
OF_DNA = "dna.fna, record 1 (chr): this looks like DNA or RNA, not a protein (400 of 400 letters)"
OF_SMILES = "s.csv, record 1 (a): this looks like a molecule in SMILES, not a protein"
TRANSLATE = "Translate it to protein first, or pass --as protein if it is one"
WAY_ON = "Give a model that reads it; if it is a protein, pass --as protein"

COMMANDS = {
    "embed": ("embed dna.fna -o out.npz", f"{OF_DNA}. {TRANSLATE}"),
    "perplexity": ("perplexity dna.fna -o out.csv", f"{OF_DNA}. {TRANSLATE}"),
    "prepare": ("data prepare dna.fna -o out", f"{OF_DNA}. {TRANSLATE}"),
    "describe": ("data describe dna.fna", f"{OF_DNA}. {TRANSLATE}"),
    "pretrain": ("pretrain dna.fna -o out --held-out 0 --steps 1", f"{OF_DNA}. {TRANSLATE}"),
    "embed, molecules": ("embed s.csv --column smiles -o out.npz", f"{OF_SMILES}. {WAY_ON}"),
    "prepare, molecules": ("data prepare s.csv --column smiles -o out", f"{OF_SMILES}. {WAY_ON}"),
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dna.fna").write_text(DNA)
    Path("s.csv").write_text(SMILES)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_protein_is_one_line_and_status_1(name: str, biofm: Biofm) -> None:
    command, message = COMMANDS[name]
    done = biofm(*command.split(), "--quiet")
    assert (done.status, done.err.strip()) == (1, f"biofm: {message}")
    assert not Path("out.npz").exists()
    assert not Path("out.csv").exists()


def test_a_fine_tuning_names_the_line(biofm: Biofm) -> None:
    done = biofm("finetune", "s.csv", "--column", "smiles", "--target", "y", "-o", "out", "--quiet")
    assert done.status == 1
    assert "this looks like a molecule in SMILES" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_wild_type_of_dna_is_refused_with_its_line(biofm: Biofm) -> None:
    dna = DNA.splitlines()[1]
    Path("v.csv").write_text(f"mutant,wt\n{dna[0]}1W,{dna}\n")
    done = biofm("score", "v.csv", "--sequence-column", "wt", "-o", "out.csv", "--quiet")
    assert (done.status, done.err.strip()) == (
        1,
        f"biofm: v.csv, line 2: this looks like DNA or RNA, not a protein (400 of 400 letters). {TRANSLATE}",
    )
    assert biofm("score", "v.csv", "--sequence-column", "wt", "-o", "out.csv", "--as", "protein").status == 0


def test_measured_sequences_of_dna_are_refused_with_their_line(biofm: Biofm) -> None:
    random = Random(1)
    rows = [f"{''.join(random.choices('ACGT', k=400))},{random.random()},{i}" for i in range(8)]
    Path("a.csv").write_text("\n".join(["sequence,score,y", *rows]) + "\n")
    words = ["evaluate", "a.csv", "--measured-column", "y", "--score-column", "score"]
    words += ["--mutated-column", "sequence", "--resamples", "0"]
    done = biofm(*words)
    message = "a.csv, line 2: this looks like DNA or RNA, not a protein (400 of 400 letters)"
    assert done.status == 1
    assert done.err.strip().startswith(f"biofm: {message}. {TRANSLATE}")
    done = biofm(*words, "--wild-type", "dna.fna", "--as", "protein")
    assert done.status == 0, done.err


def test_a_wild_type_of_measured_variants_is_no_dna(biofm: Biofm) -> None:
    dna = DNA.splitlines()[1]
    rows = [f"{dna[i]}{i + 1}W,{i}.5,{i}" for i in range(8)]
    Path("a.csv").write_text("\n".join(["mutant,score,y", *rows]) + "\n")
    words = ["evaluate", "a.csv", "--measured-column", "y", "--score-column", "score"]
    words += ["--variant-column", "mutant", "--wild-type", "dna.fna", "--resamples", "0"]
    done = biofm(*words)
    assert (done.status, done.err.strip()) == (1, f"biofm: {OF_DNA}. {TRANSLATE}")
    done = biofm(*words, "--as", "protein")
    assert done.status == 0, done.err


def test_who_names_the_modality_insists(biofm: Biofm) -> None:
    done = biofm("embed", "dna.fna", "-o", "out.npz", "--as", "protein", "--quiet")
    assert done.status == 0, done.err
    assert Path("out.npz").exists()


def test_a_modality_that_the_model_does_not_read_is_refused(biofm: Biofm) -> None:
    done = biofm("embed", "dna.fna", "-o", "out.npz", "-m", "protein-nano", "--as", "dna", "--quiet")
    assert done.status == 1
    what = "--as: the model reads proteins, but dna was asked for. Give a model that reads dna with --model"
    assert done.err.strip() == f"biofm: {what}"


def test_a_modality_that_does_not_exist_is_named(biofm: Biofm) -> None:
    for words in (
        ("data", "prepare", "dna.fna", "-o", "out"),
        ("embed", "dna.fna", "-o", "out.npz"),
        ("score", "--all-singles", "-w", "dna.fna", "-o", "out.csv"),
    ):
        done = biofm(*words, "--as", "cheese", "--quiet")
        assert (done.status, done.err.strip()) == (1, "biofm: --as: no such modality: cheese. Give protein")
