"""Token parity of ESM C with ``transformers``' EsmcTokenizer, and the one difference that is meant."""

import string

import pytest
from biofm_datasets import Record
from transformers import EsmcTokenizer

from biofm.modalities import ESM_ALPHABET, STANDARD_RESIDUES, ProteinTokenizer
from biofm.models import esmc
from tests.modalities.conftest import same_tokens

WHITE = [*string.whitespace, "\xa0", "\N{EM SPACE}"]
VISIBLE = [character for character in string.printable if character not in WHITE]
NON_LATIN = ["\N{GREEK SMALL LETTER BETA}", "\N{DNA DOUBLE HELIX}", "\xe9", "\xff"]


@pytest.fixture(scope="module")
def theirs() -> EsmcTokenizer:
    return EsmcTokenizer()


@pytest.fixture(scope="module")
def ours() -> ProteinTokenizer:
    return esmc.tokenizer()


@pytest.mark.parametrize("character", [*VISIBLE, *NON_LATIN], ids=ascii)
def test_every_visible_character_gives_the_originals_token(
    character: str, ours: ProteinTokenizer, theirs: EsmcTokenizer
) -> None:
    for sequence in (f"A{character}A", f"{character}A", f"A{character * 3}A"):
        assert same_tokens(sequence, ours, theirs)


@pytest.mark.parametrize("character", WHITE, ids=ascii)
def test_white_space_is_nothing_where_the_original_takes_it_for_a_residue(
    character: str, ours: ProteinTokenizer, theirs: EsmcTokenizer
) -> None:
    assert ours.encode(f"A{character}C").tolist() == ours.encode("AC").tolist()
    assert list(theirs(f"A{character}C")["input_ids"]) == ours.encode("A?C").tolist()


@pytest.mark.parametrize(
    "sequence", ["", "M", STANDARD_RESIDUES, "BXZUO.-", "MKT|AYI|", "A<mask>C", "AjjjC", "A<null_1>C"]
)
def test_ordinary_sequences_give_the_originals_tokens(
    sequence: str, ours: ProteinTokenizer, theirs: EsmcTokenizer
) -> None:
    assert same_tokens(sequence, ours, theirs)


@pytest.mark.parametrize("token", ["<cls>", "<pad>", "<eos>", "<unk>", "<mask>"])
def test_a_special_token_spelled_out_is_that_token(
    token: str, ours: ProteinTokenizer, theirs: EsmcTokenizer
) -> None:
    for sequence in (f"A{token}C", f"{token}A", f"A{token}{token}"):
        assert same_tokens(sequence, ours, theirs)


def test_real_sequences_give_the_originals_tokens(
    uniref90: list[Record], ours: ProteinTokenizer, theirs: EsmcTokenizer
) -> None:
    different = [record.id for record in uniref90 if not same_tokens(record.sequence, ours, theirs)]
    assert different == []


def test_the_alphabet_is_numbered_as_in_the_original(ours: ProteinTokenizer, theirs: EsmcTokenizer) -> None:
    assert dict(ours.number) == theirs.get_vocab()
    changed = [pair for pair in zip(ours.vocabulary, ESM_ALPHABET, strict=True) if pair[0] != pair[1]]
    assert changed == [("|", "<null_1>")]


def test_rows_of_the_head_that_no_token_has_decode_as_unknown(ours: ProteinTokenizer) -> None:
    rows = ours.encode("MK|").astype(int)
    rows[2] = esmc.N_TOKEN_VECTORS - 1
    assert ours.decode(rows) == "<cls>M<unk>|<eos>"
