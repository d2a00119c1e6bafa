"""Chains of PDB and mmCIF files, as Biopython writes them and as people damage them."""

import codecs
import gzip
import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from Bio.PDB.mmcifio import MMCIFIO
from Bio.PDB.PDBIO import PDBIO
from Bio.PDB.StructureBuilder import StructureBuilder
from biofm_datasets import DataError
from biofm_datasets.structures import Chain, read_chain

WRITERS: dict[str, Any] = {"pdb": PDBIO, "cif": MMCIFIO}

# name, number, insertion code, hetero flag; and atoms with x, alternative location, occupancy
GLYCINE = ("GLY", 1, " ", " ", [("N", 0, " ", 1), ("CA", 1, " ", 1), ("C", 2, " ", 1)])
ALANINE = ("ALA", 2, " ", " ", [("N", 3, " ", 1), ("CA", 4, " ", 1), ("C", 5, " ", 1), ("CB", 6, " ", 1)])
INSERTED = ("TRP", 2, "A", " ", [("N", 7, " ", 1), ("CA", 8, " ", 1), ("C", 9, " ", 1), ("CB", 10, " ", 1)])
SELENIUM = ("MSE", 4, " ", "H_MSE", [("CA", 11, " ", 1), ("CB", 12, " ", 1)])
NO_BETA = ("LYS", 5, " ", " ", [("N", 13, " ", 1), ("CA", 14, " ", 1), ("C", 15, " ", 1)])
TWO_PLACES = ("SER", 6, " ", " ", [("CA", 16, " ", 1), ("CB", 17, "A", 0.3), ("CB", 18, "B", 0.7)])
UNKNOWN = (
    "ABC",
    7,
    " ",
    "H_ABC",
    [("N", 19, " ", 1), ("CA", 20, " ", 1), ("C", 21, " ", 1), ("CB", 22, " ", 1)],
)
WATER = ("HOH", 101, " ", "W", [("O", 30, " ", 1)])
CALCIUM = ("CA", 102, " ", "H_CA", [("CA", 31, " ", 1)])
SUGAR = ("GLC", 103, " ", "H_GLC", [("C1", 32, " ", 1)])

RESIDUES = [GLYCINE, ALANINE, INSERTED, SELENIUM, NO_BETA, TWO_PLACES, UNKNOWN, WATER, CALCIUM, SUGAR]
SEQUENCE = "GAWMKSX"
X = [1, 6, 10, 12, np.nan, 18, 22]  # of the C-betas, of the glycine's C-alpha

WriteStructure = Callable[..., bytes]


def written(kind: str, models: list[dict[str, list[Any]]]) -> bytes:
    """Structure files of models of chains of residues, through Biopython's own writer."""
    builder: Any = StructureBuilder()
    builder.init_structure("made")
    for number, chains in enumerate(models):
        builder.init_model(number, number + 1)
        for chain, residues in chains.items():
            builder.init_chain(chain)
            builder.init_seg("    ")
            for name, place, insertion, flag, atoms in residues:
                builder.init_residue(name, flag, place, insertion)
                for atom, x, location, occupancy in atoms:
                    element = "CA" if name == "CA" else atom[0]
                    full = f"{atom:<4}" if len(element) > 1 else f" {atom:<3}"
                    position = np.array([x, 0, 0], np.float32)
                    builder.init_atom(atom, position, 1.0, occupancy, location, full, element=element)
    writer: Any = WRITERS[kind]()
    writer.set_structure(builder.get_structure())
    text = io.StringIO()
    writer.save(text)
    return text.getvalue().encode()


def read(content: bytes, chain: str | None = None) -> Chain:
    return read_chain(io.BytesIO(content), "s.pdb", chain)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", WRITERS)
def test_the_residues_of_a_chain_are_read_with_their_side_chains(kind: str, pack: Any) -> None:
    chain = read(pack(written(kind, [{"A": RESIDUES}])))
    assert (chain.id, chain.sequence, chain.where) == ("A", SEQUENCE, "s.pdb, chain A")
    np.testing.assert_array_equal(chain.positions[:, 0], X)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_byte_order_mark_changes_nothing(kind: str) -> None:
    content = written(kind, [{"A": RESIDUES}])
    assert read(codecs.BOM_UTF8 + content).sequence == SEQUENCE


@pytest.mark.parametrize("kind", WRITERS)
def test_the_first_model_counts(kind: str) -> None:
    first, second = ({"A": [ALANINE]}, {"A": [GLYCINE, ALANINE]})
    assert read(written(kind, [first, second])).sequence == "A"


@pytest.mark.parametrize("kind", WRITERS)
def test_a_chain_is_chosen_by_its_name(kind: str) -> None:
    content = written(kind, [{"A": [ALANINE], "B": [GLYCINE, ALANINE], "W": [WATER]}])
    assert read(content, "B").sequence == "GA"
    with pytest.raises(DataError, match=r"s\.pdb: there are several protein chains: A, B\. Name one"):
        read(content)
    for absent in ("C", "W", "a"):
        with pytest.raises(
            DataError, match=rf"there is no protein chain {absent}\. The protein chains are A, B"
        ):
            read(content, absent)


def test_the_one_protein_chain_among_others_needs_no_name() -> None:
    assert read(written("cif", [{"W": [WATER], "B": [ALANINE]}])).id == "B"


def test_of_two_residues_at_one_place_the_more_frequent_one_counts() -> None:
    lines = [
        "ATOM      1  CA AALA A   1       1.000   0.000   0.000  0.70  1.00           C",
        "ATOM      2  CB AALA A   1       2.000   0.000   0.000  0.70  1.00           C",
        "ATOM      3  CA BSER A   1       3.000   0.000   0.000  0.30  1.00           C",
        "ATOM      4  CB BSER A   1       4.000   0.000   0.000  0.30  1.00           C",
    ]
    for order in (lines, lines[2:] + lines[:2]):
        chain = read("\n".join([*order, "END"]).encode())
        assert (chain.sequence, chain.positions[0, 0]) == ("A", 2)


GOOD = written("pdb", [{"A": RESIDUES}])
GOOD_CIF = written("cif", [{"A": RESIDUES}])
WRONG = {
    "an empty file": (b"", "the file is empty"),
    "spaces alone": (b" \n\n", "the file is empty"),
    "an empty gzip": (gzip.compress(b""), "the file is empty"),
    "a gzip cut short": (gzip.compress(GOOD)[:-20], "end too early"),
    "a damaged gzip": (gzip.compress(GOOD)[:40] + bytes(200), "the gzip data are damaged"),
    "FASTA": (b">a\nMKTAYIAK\n", "there are no atoms"),
    "a header alone": (b"HEADER    HYDROLASE\nREMARK   2\nEND\n", "there are no atoms"),
    "an mmCIF without atoms": (b"data_1ABC\n_entry.id 1ABC\n", "not an mmCIF file"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe" * 20, "there are no atoms"),
    "a coordinate that is no number": (GOOD.replace(b"   6.000", b"   6.0a0"), "damaged, or not a PDB file"),
    "an mmCIF cut short": (GOOD_CIF[: len(GOOD_CIF) // 2 + 7], "not an mmCIF file"),
    "water alone": (written("pdb", [{"A": [WATER, CALCIUM]}]), "no chain of this structure is a protein"),
    "a chain without side chains": (written("pdb", [{"A": [NO_BETA]}]), "no residue has a C-beta"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_one_clear_error(wrong: str) -> None:
    content, message = WRONG[wrong]
    with pytest.raises(DataError) as caught:
        read(content)
    assert message in caught.value.what
    assert caught.value.where.startswith("s.pdb")
    assert caught.value.remedy


@pytest.mark.parametrize("content", [GOOD, GOOD_CIF], ids=["pdb", "cif"])
def test_a_damaged_byte_is_never_more_than_an_error(content: bytes) -> None:
    generator = np.random.default_rng(20)
    for place in generator.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] = generator.integers(0, 256)
        with suppress(DataError):
            read(bytes(damaged))
