"""What is given to a model of proteins and is none: DNA, and molecules of letters that proteins have too."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from biofm_datasets import DataError, Record, read_sequences

from biofm.modalities.protein import MAY_BE_DNA, PROTEIN, doubt_dna, refuse_other

LIKE_DNA = "looks like DNA or RNA, not a protein"
LIKE_SMILES = "looks like a molecule in SMILES, not a protein"


def dna(n: int, letters: str = "ACGT") -> str:
    return "".join(Random(n).choices(letters, k=n))


OTHERS = {
    "DNA": (dna(100), LIKE_DNA),
    "soft-masked DNA": (dna(300) + dna(200).lower(), LIKE_DNA),
    "RNA": (dna(150, "ACGU"), LIKE_DNA),
    "DNA with unknown bases and some codes for several": (dna(190) + "NNNNN" + "RYKMS", LIKE_DNA),
    "DNA with gaps": (dna(180) + "-" * 40, LIKE_DNA),
    "chlorobutane": ("CCCCCl", LIKE_SMILES),
    "two molecules": ("CCl.CCBr", LIKE_SMILES),
    "a bond that is written": ("CC-Cl", LIKE_SMILES),
    "bromobenzene": ("Brc", LIKE_SMILES),
    "a molecule with aromatic letters": ("CcccnsCl", LIKE_SMILES),
}
PROTEINS = {
    "DNA too short to tell": dna(99),
    "a protein of few letters": "GATA" * 20 + "GAVA" * 10,
    "a protein of the letters of DNA and others": dna(188) + "W" * 12,
    "lower case": "mktclla",
    "gaps that make it long enough": dna(90) + "-" * 40,
    "a protein with soft masking": "MKTClACDEFG",
    "letters of organic elements alone": "CHINCLIP",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_protein_is_refused_with_its_place(name: str) -> None:
    sequence, message = OTHERS[name]
    with pytest.raises(DataError, match=message) as caught:
        refuse_other(Record("it", sequence, number=3, source="in.fasta"))
    assert caught.value.where == "in.fasta, record 3 (it)"
    assert "pass --as protein" in caught.value.remedy


@pytest.mark.parametrize("name", PROTEINS)
def test_what_may_be_a_protein_is_let_through(name: str) -> None:
    refuse_other(Record("it", PROTEINS[name]))


@pytest.mark.parametrize(
    "sequence", [dna(45), dna(99), "ACGU" * 4, dna(20).lower() + "NNN", "ACGT" * 3 + "ACG"]
)
def test_short_dna_is_read_under_a_notice(sequence: str) -> None:
    notices: Counter[str] = Counter()
    record = Record("it", sequence)
    assert PROTEIN.accept(record, notices).sequence == sequence.upper()
    assert notices[MAY_BE_DNA] == 1


@pytest.mark.parametrize("sequence", ["ACGT" * 3 + "AC", "GATA" * 10 + "V", "M" + "ACGT" * 10])
def test_other_short_proteins_have_no_notice(sequence: str) -> None:
    notices: Counter[str] = Counter()
    PROTEIN.accept(Record("it", sequence), notices)
    assert not notices


def test_short_dna_that_the_user_calls_protein_has_no_notice() -> None:
    notices: Counter[str] = Counter()
    PROTEIN.accept(Record("it", dna(45)), notices, insists=True)
    assert not notices


def test_insert_states_of_an_alignment_are_no_chlorine() -> None:
    refuse_other(Record("it", "CCCClCC", source="in.a3m.gz"))


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("uniref90_10k.fasta.gz", 10_000),
        ("corpus_uniprot_genbank.fasta.gz", 62_677),
        ("1a00_A_uniref90.a3m", 3391),
    ],
)
def test_no_real_protein_is_taken_for_another_thing(name: str, n: int, real_data: Path) -> None:
    with (real_data / "protein" / name).open("rb") as file:
        records = list(read_sequences(file, name))
    assert len(records) == n
    for record in records:
        refuse_other(record)
        assert not doubt_dna(record)
