"""What variants make of a sequence, in its own numbering and in another."""

import csv
import random
from pathlib import Path

import pytest
from biofm_datasets import Change, DataError, parse_variant
from biofm_datasets.changes import apply, changes_between, fitting_offset, locate

PROTEIN = "MKTAYIAKQRQISF"
#          12345678901234

MADE = {
    "WT": "MKTAYIAKQRQISF",
    "M1G": "GKTAYIAKQRQISF",
    "F14W": "MKTAYIAKQRQISW",
    "K2R:A4G": "MRTGYIAKQRQISF",
    "A4A": "MKTAYIAKQRQISF",
    "M1del": "KTAYIAKQRQISF",
    "K2_I6del": "MAKQRQISF",
    "T3_A4insGP": "MKTGPAYIAKQRQISF",
    "K2_A4delinsW": "MWYIAKQRQISF",
    "F14delinsWW": "MKTAYIAKQRQISWW",
    "K2dup": "MKKTAYIAKQRQISF",
    "T3_I6dup": "MKTAYITAYIAKQRQISF",
    "K2_Y5=": "MKTAYIAKQRQISF",
    "M1W:T3_A4insGP:F14del": "WKTGPAYIAKQRQIS",
}


@pytest.mark.parametrize("text", MADE)
def test_a_variant_makes_the_sequence_that_it_describes(text: str) -> None:
    assert apply(parse_variant(text), PROTEIN) == MADE[text]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("A2G", "the variant has A at position 2, where the protein has K"),
        ("K2_A6del", "the variant has A at position 6, where the protein has I"),
        ("K2_A3insG", "the variant has A at position 3, where the protein has T"),
        ("F15W", "position 15 lies outside the protein, which has positions 1 to 14"),
        ("F14_G15insA", "position 15 lies outside the protein, which has positions 1 to 14"),
        ("S13_F99del", "position 99 lies outside the protein, which has positions 1 to 14"),
    ],
)
def test_a_variant_of_another_protein_is_an_error(text: str, fault: str) -> None:
    with pytest.raises(DataError) as error:
        apply(parse_variant(text), PROTEIN)
    assert error.value.what == fault


def test_an_offset_is_what_the_numbering_of_the_variant_adds() -> None:
    assert apply(parse_variant("M24W"), PROTEIN, offset=23) == "W" + PROTEIN[1:]
    assert locate(parse_variant("M24_T26del"), PROTEIN, offset=23) == (Change(1, "MKT", ""),)
    assert apply(parse_variant("A3G"), PROTEIN, offset=-1) == apply(parse_variant("A4G"), PROTEIN)


def test_positions_in_errors_are_those_of_the_user() -> None:
    with pytest.raises(DataError, match="A at position 25, where the protein has K"):
        apply(parse_variant("A25G"), PROTEIN, offset=23)
    with pytest.raises(DataError, match="position 23 lies outside the protein, which has positions 24 to 37"):
        apply(parse_variant("A23G"), PROTEIN, offset=23)


def test_the_offset_that_fits_all_variants_is_found() -> None:
    variants = [parse_variant(text) for text in ("M24W", "T26_I29del", "R33G:F37W")]
    assert fitting_offset(variants, PROTEIN) == 23
    assert fitting_offset([*variants, parse_variant("M30W")], PROTEIN) is None


def test_an_offset_that_is_not_the_only_one_is_no_answer() -> None:
    assert fitting_offset([parse_variant("A24G")], PROTEIN) is None  # A is residue 4 and 7
    assert fitting_offset([()], PROTEIN) is None
    assert fitting_offset([parse_variant("Q24G:Q26G")], PROTEIN) == 15


def test_substitutions_are_found_between_sequences_of_one_length() -> None:
    assert changes_between(PROTEIN, "MRTGYIAKQRQISF") == (Change(2, "K", "R"), Change(4, "A", "G"))
    assert changes_between(PROTEIN, PROTEIN) == ()


def test_sequences_of_two_lengths_differ_by_one_change_that_leads_from_one_to_the_other() -> None:
    generator = random.Random(20)
    for _ in range(300):
        one, other = ("".join(generator.choices("AG", k=generator.randint(1, 8))) for _ in range(2))
        assert apply(changes_between(one, other), one) == other


@pytest.mark.parametrize("mutated", ["MXTAYIAKQRQISF", "MKTAYIXAKQRQISF", "MKTAYIAKQRQIS-"])
def test_a_changed_residue_that_is_no_amino_acid_is_an_error(mutated: str) -> None:
    with pytest.raises(DataError, match="is not a single amino acid"):
        changes_between(PROTEIN, mutated)


def test_the_variants_of_a_real_scan_all_name_residues_of_their_protein(real_data: Path) -> None:
    folder = real_data / "protein"
    with (folder / "esm" / "BLAT_ECOLX_Ranganathan2015_labeled.csv").open() as file:
        variants = [parse_variant(row["mutant"]) for row in csv.DictReader(file)]
    with (folder / "proteingym" / "DMS_substitutions.csv").open(encoding="utf-8") as file:
        proteins = {row["UniProt_ID"]: row["target_seq"] for row in csv.DictReader(file)}
    whole = proteins["BLAT_ECOLX"]
    assert len(variants) == 4996
    assert all(len(apply(changes, whole)) == len(whole) for changes in variants)
    assert fitting_offset(variants, whole) == 0
    assert fitting_offset(variants[:1000], whole[23:]) == 23
