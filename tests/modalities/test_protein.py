"""Token parity with ``transformers``' EsmTokenizer, and the one difference that is meant."""

import string

import numpy as np
import pytest
from biofm_datasets import Record
from transformers import EsmTokenizer
from transformers.models.esm.configuration_esm import get_default_vocab_list

from biofm.modalities import STANDARD_RESIDUES, ProteinTokenizer
from biofm.models.esm2 import tokenizer_files
from tests.modalities.conftest import same_tokens

NON_LATIN = [
    "\N{GREEK SMALL LETTER BETA}",
    "\N{CJK UNIFIED IDEOGRAPH-86CB}",
    "\N{DNA DOUBLE HELIX}",
    "\xe9",
    "\xff",
]
WHITE = [*string.whitespace, "\xa0", "\N{EM SPACE}"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> EsmTokenizer:
    vocabulary = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    vocabulary.write_text("\n".join(get_default_vocab_list()))
    return EsmTokenizer(str(vocabulary))


@pytest.fixture(scope="module")
def ours() -> ProteinTokenizer:
    return ProteinTokenizer()


@pytest.mark.parametrize("character", [*string.printable, *NON_LATIN, *WHITE], ids=ascii)
def test_every_character_between_residues_gives_the_originals_token(
    character: str, ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    assert ours.encode(f"A{character}A").tolist() == list(theirs(f"A{character}A")["input_ids"])


@pytest.mark.parametrize("token", ["<cls>", "<pad>", "<eos>", "<unk>", "<null_1>", "<mask>"])
def test_a_special_token_spelled_out_is_that_token(
    token: str, ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    for sequence in (f"A{token}C", f"A {token} C", f"{token}A", f"A{token}{token}"):
        assert same_tokens(sequence, ours, theirs)
    assert ours.encode(f"A{token}C")[2] == ours.number[token]


@pytest.mark.parametrize("sequence", ["", "M", STANDARD_RESIDUES, "BXZUO.-", "ACD EFG\nHIK\r\nLMN", "AjCxD*"])
def test_ordinary_sequences_give_the_originals_tokens(
    sequence: str, ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    assert same_tokens(sequence, ours, theirs)


def test_real_sequences_give_the_originals_tokens(
    uniref90: list[Record], ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    different = [record.id for record in uniref90 if not same_tokens(record.sequence, ours, theirs)]
    assert different == []


def test_a_run_of_unknown_characters_keeps_its_length_where_the_original_shortens_it(
    ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    unknown = ours.unknown
    residues = [ours.number["A"], ours.number["C"]]
    assert ours.encode("AjjjC").tolist() == [ours.cls, residues[0], *[unknown] * 3, residues[1], ours.eos]
    assert list(theirs("AjjjC")["input_ids"]) == [ours.cls, residues[0], unknown, residues[1], ours.eos]


def test_white_space_inside_a_special_token_takes_it_apart(ours: ProteinTokenizer) -> None:
    assert ours.encode("A<ma sk>C").tolist() == ours.encode("A<????>C").tolist()


def test_the_alphabet_is_numbered_as_in_the_published_checkpoints(
    ours: ProteinTokenizer, theirs: EsmTokenizer
) -> None:
    assert dict(ours.number) == theirs.get_vocab()
    assert tokenizer_files()["vocab.txt"].decode().splitlines() == list(get_default_vocab_list())
    assert (ours.cls, ours.eos, ours.unknown, ours.mask) == (0, 2, 3, 32)
    assert ours.decode(ours.scored) == "LAGVSERTIDPKQNFYMHWC"


@pytest.mark.parametrize("sequence", ["", "MKT", "A<mask>C", "BXZUO.-"])
def test_decoding_gives_the_sequence_back_between_its_ends(sequence: str, ours: ProteinTokenizer) -> None:
    assert ours.decode(ours.encode(sequence)) == f"<cls>{sequence}<eos>"


def test_unknown_characters_decode_as_unknown(ours: ProteinTokenizer) -> None:
    assert ours.decode(ours.encode("AJ\N{DNA DOUBLE HELIX}C")) == "<cls>A<unk><unk>C<eos>"


def test_tokens_are_bytes(ours: ProteinTokenizer) -> None:
    assert ours.encode("MKT").dtype == np.uint8


@pytest.mark.parametrize(
    "sequences",
    [
        [], [""], ["", "A", ""], ["MKT", "X*-.|BZUOJ", "acd"], ["M<mask>K", "A"], ["M K\nT", "A"], ["<", "A"],
        ["A\x02", "\x03\x02", "A"], [*NON_LATIN, "A"],
    ],
    ids=ascii,
)  # fmt: skip
def test_many_sequences_at_once_give_the_same_tokens(sequences: list[str], ours: ProteinTokenizer) -> None:
    tokens, lengths = ours.encode_all(sequences)
    one_by_one = [ours.encode(sequence) for sequence in sequences]
    assert lengths.tolist() == [len(found) for found in one_by_one]
    assert tokens.tolist() == [token for found in one_by_one for token in found]
    assert tokens.dtype == np.uint8
    assert lengths.dtype == np.int64


def test_real_proteins_at_once_give_the_same_tokens(uniref90: list[Record], ours: ProteinTokenizer) -> None:
    sequences = [record.sequence for record in uniref90]
    tokens, _ = ours.encode_all(sequences)
    np.testing.assert_array_equal(tokens, np.concatenate([ours.encode(sequence) for sequence in sequences]))
