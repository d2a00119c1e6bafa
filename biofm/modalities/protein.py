"""The protein alphabet of ESM-1b, ESM-2 and ESM C, one token a residue."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from biofm_datasets import DataError, Record, clean_protein, read_sequences
from biofm_datasets.protein import GAP_CHARACTERS, MASK, is_alignment
from biofm_datasets.variants import LETTERS
from numpy.typing import NDArray

from biofm.modalities.modality import Modality, Tokenizer, Words

STANDARD_RESIDUES = "LAGVSERTIDPKQNFYMHWC"

# Control characters that stand for <cls> and <eos> while many sequences are one text.
_START, _END = "\x02", "\x03"
_END_AND_START = _END + _START


def _alphabet(extra: str) -> tuple[str, ...]:
    """In the order of the published checkpoints: a token's number is its place. Only number 31 differs."""
    return ("<cls>", "<pad>", "<eos>", "<unk>", *STANDARD_RESIDUES, *"XBUZO.-", extra, "<mask>")


ESM_ALPHABET = _alphabet("<null_1>")
ESMC_ALPHABET = _alphabet("|")

# Letters that baselines tell apart; 0 is any other character, such as that of a mask.
_CODED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ*-."
N_CODES = len(_CODED) + 1
_CODE_OF_BYTE = np.zeros(256, np.int64)
_CODE_OF_BYTE[np.frombuffer(_CODED.encode(), np.uint8)] = np.arange(1, N_CODES)

NUCLEOTIDES = "ACGTUN"
MOST_LIKE_DNA = 0.95
SHORTEST_DNA = 100
COMMONEST_OTHERS = "LE"
"""The commonest residues that are no letters of DNA: by them nearly every protein is told at once."""
_WITHOUT_GAPS = str.maketrans("", "", GAP_CHARACTERS)
_OF_SMILES = re.compile(r"[BCFHIKLNOPRSa-z.-]+")
_WAY_ON = "Give a model that reads it, or insist with --as protein"


def refuse_other(record: Record) -> None:
    """Raises DataError, naming file and record, for a sequence of letters that speak for DNA or RNA, or for a
    molecule.

    DNA or RNA: a hundred letters or more, of which 95 % are A, C, G, T, U or N in either case, gaps left
    aside. A molecule in SMILES (Weininger 1988, doi:10.1021/ci00057a005): Cl or Br among the letters of
    organic elements, in capitals, lower case, bonds (-) and dots alone; not in an alignment, whose lower case
    and gaps have another meaning.
    """
    sequence = record.sequence
    most_others = (1 - MOST_LIKE_DNA) * len(sequence)
    if len(sequence) >= SHORTEST_DNA and sum(map(sequence.count, COMMONEST_OTHERS)) <= most_others:
        _refuse_dna(record)
    may_be_molecule = ("Cl" in sequence or "Br" in sequence) and not is_alignment(record.source)
    if may_be_molecule and _OF_SMILES.fullmatch(sequence):
        what = "this looks like a molecule in SMILES, not a protein"
        raise DataError(what, where=record.where, remedy=_WAY_ON)


def _refuse_dna(record: Record) -> None:
    letters = record.sequence.translate(_WITHOUT_GAPS)
    n_like = sum(map(letters.count, NUCLEOTIDES + NUCLEOTIDES.lower()))
    if len(letters) >= SHORTEST_DNA and n_like >= MOST_LIKE_DNA * len(letters):
        what = f"this looks like DNA or RNA, not a protein ({n_like:,} of {len(letters):,} letters)"
        raise DataError(what, where=record.where, remedy=_WAY_ON)


def residues_of(sequence: str) -> Sequence[str]:
    """A letter a residue; a mask is one residue, spelled in six characters."""
    if MASK not in sequence:
        return sequence
    before, *others = sequence.split(MASK)
    return [*before, *(residue for part in others for residue in (MASK, *part))]


def codes_of(sequence: str) -> NDArray[np.int64]:
    """A number below ``N_CODES`` for each residue."""
    letters = sequence.replace(MASK, "#")
    return _CODE_OF_BYTE[np.frombuffer(letters.encode("latin-1", "replace"), np.uint8)]


class ProteinTokenizer(Tokenizer):
    """<cls>, one token a character, <eos>.

    The tokens are those of ``transformers``' EsmTokenizer, or with ``ESMC_ALPHABET`` its EsmcTokenizer, for
    every single character: lower case and J are <unk>, and "<mask>" written in the sequence is the mask. To
    ESM C "|" is the break between two chains, one token like a residue; to the others it is unknown.

    Two differences are meant. A run of unknown characters gives one <unk> each, as in EsmcTokenizer, where
    EsmTokenizer gives one for the whole run and so shifts every residue behind it. White space is nothing, as
    in EsmTokenizer, where EsmcTokenizer takes it for an unknown residue.
    """

    def __init__(self, vocabulary: tuple[str, ...] = ESM_ALPHABET) -> None:
        self.number = {token: i for i, token in enumerate(vocabulary)}
        self.cls, self.eos = self.number["<cls>"], self.number["<eos>"]
        super().__init__(
            "ESM C" if vocabulary == ESMC_ALPHABET else "ESM",
            vocabulary,
            before=(self.cls,),
            behind=(self.eos,),
            scored=[self.number[residue] for residue in STANDARD_RESIDUES],
            counted=[self.number[residue] for residue in sorted(LETTERS)],
            unknown=self.number["<unk>"],
            mask=self.number["<mask>"],
        )
        spelled_out = (re.escape(token) for token in vocabulary if len(token) > 1)
        self._special = re.compile(f"({'|'.join(spelled_out)})")
        self._of_byte = np.full(256, self.unknown, dtype=np.uint8)
        for token, i in self.number.items():
            if len(token) == 1:
                self._of_byte[ord(token)] = i
        self._of_byte_framed = self._of_byte.copy()
        self._of_byte_framed[ord(_START)], self._of_byte_framed[ord(_END)] = self.cls, self.eos

    @property
    def modality(self) -> Modality:
        return PROTEIN

    def encode(self, sequence: str) -> NDArray[np.uint8]:
        """Token numbers, shape (residues + 2,)."""
        return self.frame(np.concatenate([*map(self._encode_part, self._special.split(sequence))]))

    def encode_all(self, sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """As ``encode`` gives them, and many times as fast."""
        body = "".join(sequences)
        if not (body.isascii() and body.isprintable()) or " " in body or "<" in body:
            return super().encode_all(sequences)
        text = f"{_START}{_END_AND_START.join(sequences)}{_END}" if sequences else ""
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences)) + 2
        return self._of_byte_framed[np.frombuffer(text.encode("ascii"), np.uint8)], lengths

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """The vocabulary's spelling of each token, joined.

        A number beyond the vocabulary, which the head of ESM C has rows for, is <unk>.
        """
        known = len(self.vocabulary)
        return "".join(self.vocabulary[token if token < known else self.unknown] for token in tokens)

    def _encode_part(self, part: str) -> NDArray[np.uint8]:
        if part in self.number:
            return np.array([self.number[part]], dtype=np.uint8)
        characters = "".join(part.split())  # without white space
        # Characters beyond Latin-1 become "?", which the vocabulary lacks like every other unknown character.
        return self._of_byte[np.frombuffer(characters.encode("latin-1", "replace"), dtype=np.uint8)]


PROTEIN = Modality(
    name="protein",
    words=Words("protein", "proteins", "residue", "residues", "amino acid", "amino acids"),
    read=read_sequences,
    clean=clean_protein,
    refuse_other=refuse_other,
    units=residues_of,
    codes=codes_of,
    n_codes=N_CODES,
    has_variants=True,
    tokenizer=ProteinTokenizer,
    default_model="protein-nano",
)
