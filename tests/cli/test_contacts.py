"""``biofm contacts``, from files to files, and what it says of wrong ones."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from biofm_datasets.structures import read_chain

import biofm as package
from biofm.evaluation import contact_precision, contacts_of_chain
from biofm.inference import contacts as contacts_of_inference
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM

SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNL"
FASTA = f">sp|P1|A\n{SEQUENCE}\n>b\nMVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLS\n>b\nM\n"
LETTERS = "MKTAYIQRSFVHLEGPDN"
NAMES = "MET LYS THR ALA TYR ILE GLN ARG SER PHE VAL HIS LEU GLU GLY PRO ASP ASN"
THREE = dict(zip(LETTERS, NAMES.split(" "), strict=True))


def make_pdb(sequence: str = SEQUENCE, beta: str = "CB") -> str:
    """A helix, a turn and a helix back beside it, 8 Angstrom away."""
    lines: list[str] = []
    for i, letter in enumerate(sequence):
        turn = i >= len(sequence) // 2
        height = 1.5 * (len(sequence) - i if turn else i)
        x, y = 2.3 * np.cos(1.745 * i) + 8 * turn, 2.3 * np.sin(1.745 * i)
        for atom in ("CA", "CA" if letter == "G" else beta):
            lines.append(
                f"ATOM  {len(lines) + 1:>5}  {atom:<3} {THREE[letter]} A{i + 1:>4}    "
                f"{x:8.3f}{y:8.3f}{height:8.3f}  1.00  0.00           C"
            )
    return "\n".join([*dict.fromkeys(lines), "END\n"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a random ESM-2 of two layers with a contact head."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    generator = torch.Generator().manual_seed(20)
    for weight in module.eval().requires_grad_(False).parameters():
        weight.normal_(0, 0.4, generator=generator)
    assert module.contacts is not None
    module.contacts.regression.weight.mul_(20)
    for name, content in write_checkpoint(Checkpoint("ESM-2", module, ProteinTokenizer())).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def run(biofm: Any, model: Path) -> Any:
    """``biofm contacts`` of three proteins, in float32; beside them lies a structure of the first."""
    Path("p.fasta").write_text(FASTA)
    Path("one.fasta").write_text(f">sp|P1|A\n{SEQUENCE}\n")
    Path("s.pdb").write_text(make_pdb())

    def contacts(*words: str | Path, source: str = "p.fasta") -> Any:
        return biofm("contacts", source, "--model", model, "--dtype", "float32", "--quiet", *words)

    return contacts


def test_matrices_are_those_of_python(run: Any, model: Path) -> None:
    outcome = run("-o", "out.npz")
    assert outcome.status == 0, outcome.err
    assert "3 proteins, 85 residues" in outcome.err
    loaded = package.load(model, dtype="float32")
    pairs = [line.split("\n")[:2] for line in FASTA.split(">")[1:]]
    expected = loaded.contacts([(id_, sequence) for id_, sequence in pairs])
    with np.load("out.npz") as file:
        assert file["ids"].tolist() == ["sp|P1|A", "b", "b"]
        assert file["arrays"].tolist() == ["sp|P1|A", "b", "b_2"]
        for name, one in zip(file["arrays"].tolist(), expected.maps, strict=True):
            np.testing.assert_array_equal(file[name], one.probabilities)
        provenance = json.loads(str(file["provenance"]))
    assert provenance == {**expected.provenance, "labels": "U"}
    assert (provenance["dtype"], provenance["sha256"]) == ("float32", loaded.info.sha256)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_holds_the_far_and_likely_pairs(suffix: str, run: Any) -> None:
    assert run("-o", "out.npz").status == 0
    assert run("-o", f"out{suffix}", "--min-separation", "8", "--threshold", "0.5").status == 0
    found = pd.read_csv("out.csv") if suffix == ".csv" else pd.read_parquet("out.parquet")
    with np.load("out.npz") as file:
        whole = np.triu(file["sp|P1|A"], 8)
    first = found[found.protein == "sp|P1|A"]
    assert len(first) == (whole >= 0.5).sum() > 0
    np.testing.assert_allclose(whole[first.i - 1, first.j - 1], first.probability, rtol=1e-6)
    assert Path("out.csv.provenance.json").exists() == (suffix == ".csv")


@pytest.mark.parametrize("structure", ["s.pdb", "s.pdb.gz"])
def test_a_structure_is_compared_and_drawn(structure: str, run: Any) -> None:
    Path("s.pdb.gz").write_bytes(gzip.compress(Path("s.pdb").read_bytes()))
    words = ("-o", "out.npz", "--structure", structure, "--protein", "sp|P1|A", "--picture", "map.png")
    outcome = run(*words, "--json")
    assert outcome.status == 0, outcome.err
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    with Path("s.pdb").open("rb") as stream:
        truth = contacts_of_chain(read_chain(stream, "s.pdb"), "p", SEQUENCE)
    with np.load("out.npz") as file:
        expected = contact_precision(file["sp|P1|A"], truth)
    found = json.loads(outcome.out)["structure"]
    assert [row["precision"] for row in found["precision"]] == [one.precision for one in expected]
    assert (found["protein"], found["structure"]) == ("sp|P1|A", f"{structure}, chain A")
    assert (found["n_shown"], found["identity"]) == (len(SEQUENCE), 1.0)
    assert found["n_contacts"] == np.triu(truth.touch, 6).sum() > 20


def test_precision_is_printed_as_a_table(run: Any) -> None:
    outcome = run("-o", "out.npz", "--structure", "s.pdb", "--chain", "A", source="one.fasta")
    header, *rows = [re.split("  +", line) for line in outcome.out.splitlines()]
    assert header == ["precision", "L", "L/2", "L/5"]
    assert [row[0] for row in rows] == ["long", "medium and long", "all"]
    assert all(0 <= float(cell) <= 1 for _, *cells in rows for cell in cells)
    assert "sp|P1|A in s.pdb, chain A: 48 residues" in outcome.err


def test_a_picture_needs_no_structure(run: Any) -> None:
    outcome = run("-o", "out.csv", "--picture", "map.svg", source="one.fasta")
    assert outcome.status == 0, outcome.err
    assert "Wrote the picture to map.svg." in outcome.err
    assert "below: in the structure" not in Path("map.svg").read_text()


WORDS = ("-o", "out.npz")
ONE = (*WORDS, "--structure", "s.pdb", "--protein", "sp|P1|A")
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "another suffix": (("-o", "out.h5ad"), "out.h5ad: .h5ad is not a format for contact"),
    "a picture of another suffix": ((*WORDS, "--picture", "map.jpg"), "map.jpg: .jpg is not a format"),
    "a chain of no structure": ((*WORDS, "--chain", "A"), "--chain: a chain was named, but no structure"),
    "a protein for nothing": ((*WORDS, "--protein", "b"), "--protein: it chooses the protein of a picture"),
    "a threshold of a matrix": ((*WORDS, "--threshold", "0.5"), "--threshold: a .npz file holds all pairs"),
    "a threshold above 1": (("-o", "out.csv", "--threshold", "2"), "--threshold: 2.0 is no probability"),
    "a separation of 0": ((*WORDS, "--min-separation", "0"), "--min-separation: 0 is too small"),
    "a batch of 1": ((*WORDS, "--tokens-per-batch", "1"), "--tokens-per-batch: 1 is too small"),
    "several proteins": ((*WORDS, "--picture", "map.png"), "p.fasta, record 2 (b): only one protein can"),
    "an absent protein": ((*ONE, "--protein", "c"), "p.fasta: no protein is called c"),
    "another protein": ((*ONE, "--protein", "b"), "s.pdb, chain A: "),
    "an absent structure": ((*WORDS, "--structure", "none.pdb"), "none.pdb: there is no such file"),
    "an absent chain": ((*ONE, "--chain", "B"), "s.pdb: there is no protein chain B. The"),
    "a structure that is FASTA": ((*WORDS, "--structure", "one.fasta"), "one.fasta: there are no atoms"),
    "an empty structure": ((*WORDS, "--structure", "empty.cif"), "empty.cif: the file is empty"),
    "a structure cut short": ((*WORDS, "--structure", "cut.pdb.gz"), "cut.pdb.gz: the gzip data end"),
    "a structure of C-alphas": ((*WORDS, "--structure", "ca.pdb"), "ca.pdb, chain A: no residue has"),
    "the output as the structure": (
        ("-o", "s.csv", "--structure", "s.csv", "--overwrite"), "s.csv: this file is also an input",
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_option_or_structure_gives_one_clear_line_and_no_file(
    wrong: str, run: Any, tmp_path: Path
) -> None:
    words, message = WRONG[wrong]
    Path("empty.cif").touch()
    Path("cut.pdb.gz").write_bytes(gzip.compress(Path("s.pdb").read_bytes())[:-20])
    Path("ca.pdb").write_text(make_pdb(SEQUENCE.replace("G", "A"), beta="CA"))
    Path("s.csv").write_text(Path("s.pdb").read_text())
    before = sorted(tmp_path.iterdir())
    run(*words).check_refusal([message])
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"


@pytest.mark.parametrize("model", ["protein-nano", "tiny_esm2"])
def test_a_model_without_a_contact_head_is_refused(model: str, biofm: Any, tiny_esm2: Path) -> None:
    Path("p.fasta").write_text(FASTA)
    name = str(tiny_esm2) if model == "tiny_esm2" else model
    outcome = biofm("contacts", "p.fasta", "-o", "out.npz", "--model", name, "--quiet")
    assert outcome.status == 1
    assert f"{name}: this model has no trained contact head. Use an ESM-2, such as esm2-8m" in outcome.err
    assert not Path("out.npz").exists()


def test_a_faulty_record_is_skipped_and_counted_where_that_is_asked(run: Any) -> None:
    Path("p.fasta").write_text(FASTA + ">bad\nMK7\n")
    assert run("-o", "out.npz").status == 1
    outcome = run("-o", "out.npz", "--on-error", "skip")
    assert (outcome.status, "records skipped: 1" in outcome.err) == (0, True)


def test_where_every_protein_is_skipped_none_can_be_compared(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contacts_of_inference, "LONGEST", 10)
    outcome = run("-o", "out.npz", "--structure", "s.pdb", "--on-error", "skip", source="one.fasta")
    assert outcome.status == 1
    assert "one.fasta: no protein is left to draw or compare" in outcome.err


def test_a_model_must_be_named(biofm: Any) -> None:
    assert biofm("contacts", "p.fasta", "-o", "out.npz").status == 2


def test_info_tells_of_the_contact_head(biofm: Any, model: Path, tiny_esm2: Path) -> None:
    for folder, has in ((model, True), (tiny_esm2, False)):
        assert json.loads(biofm("info", folder, "--json").out)["has_contact_head"] is has
