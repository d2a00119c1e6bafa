"""The protein alphabet of ESM-1b, ESM-2 and ESM C, which has one token for each residue."""

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

# Control characters that stand for <cls> and <eos> while many sequences are joined into one text.
_START, _END = "\x02", "\x03"
_END_AND_START = _END + _START


def _alphabet(extra: str) -> tuple[str, ...]:
    """Return the tokens in the order of the published checkpoints; only number 31 differs between them."""
    return ("<cls>", "<pad>", "<eos>", "<unk>", *STANDARD_RESIDUES, *"XBUZO.-", extra, "<mask>")


ESM_ALPHABET = _alphabet("<null_1>")
ESMC_ALPHABET = _alphabet("|")

# Letters that baselines distinguish; code 0 is any other character, such as a mask.
_CODED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ*-."
N_CODES = len(_CODED) + 1
_CODE_OF_BYTE = np.zeros(256, np.int64)
_CODE_OF_BYTE[np.frombuffer(_CODED.encode(), np.uint8)] = np.arange(1, N_CODES)

NUCLEOTIDES = "ACGTUN"
_BASES = NUCLEOTIDES + NUCLEOTIDES.lower()
MOST_LIKE_DNA = 0.95
SHORTEST_DNA = 100
SHORTEST_DOUBTED = 15
MAY_BE_DNA = "sequences of only A, C, G, T, U and N, which look like DNA and were read as proteins"
COMMONEST_OTHERS = "LE"
"""The commonest residues whose letters DNA lacks: they show quickly that nearly every protein is one."""
_WITHOUT_GAPS = str.maketrans("", "", GAP_CHARACTERS)
_OF_SMILES = re.compile(r"[BCFHIKLNOPRSa-z.-]+")
_TRANSLATE = "Translate it to protein first, or pass --as protein if it is one"
_WAY_ON = "Give a model that reads it; if it is a protein, pass --as protein"


def refuse_other(record: Record) -> None:
    """Raise DataError, naming file and record, for a sequence that looks like DNA, RNA or a molecule.

    DNA or RNA: a hundred letters or more, of which 95 % are A, C, G, T, U or N in either case, gaps left
    aside. A molecule in SMILES (Weininger 1988, doi:10.1021/ci00057a005): Cl or Br, and otherwise only
    letters of organic elements in capitals, lower case, bonds (-) and dots; not in an alignment, whose lower
    case and gaps have another meaning.
    """
    sequence = record.sequence
    most_others = (1 - MOST_LIKE_DNA) * len(sequence)
    if len(sequence) >= SHORTEST_DNA and sum(map(sequence.count, COMMONEST_OTHERS)) <= most_others:
        _refuse_dna(record)
    may_be_molecule = ("Cl" in sequence or "Br" in sequence) and not is_alignment(record.source)
    if may_be_molecule and _OF_SMILES.fullmatch(sequence):
        what = "this looks like a molecule in SMILES, not a protein"
        raise DataError(what, where=record.where, remedy=_WAY_ON)


def doubt_dna(record: Record) -> str:
    """Return the phrase of a notice if a sequence may be short DNA or RNA, else an empty text.

    It is doubted from 15 letters on, if all are A, C, G, T, U or N in either case. Some proteins of low
    complexity are doubted too, so they are not refused.
    """
    sequence = record.sequence
    is_doubted = len(sequence) >= SHORTEST_DOUBTED and not sequence.strip(_BASES)
    return MAY_BE_DNA if is_doubted else ""


def _refuse_dna(record: Record) -> None:
    letters = record.sequence.translate(_WITHOUT_GAPS)
    n_like = sum(map(letters.count, _BASES))
    if len(letters) >= SHORTEST_DNA and n_like >= MOST_LIKE_DNA * len(letters):
        what = f"this looks like DNA or RNA, not a protein ({n_like:,} of {len(letters):,} letters)"
        raise DataError(what, where=record.where, remedy=_TRANSLATE)


def residues_of(sequence: str) -> Sequence[str]:
    """Return the residues of a sequence. A mask is one residue, although it is spelled in six characters."""
    if MASK not in sequence:
        return sequence
    before, *others = sequence.split(MASK)
    return [*before, *(residue for part in others for residue in (MASK, *part))]


def codes_of(sequence: str) -> NDArray[np.int64]:
    """Return a number below ``N_CODES`` for each residue."""
    letters = sequence.replace(MASK, "#")
    return _CODE_OF_BYTE[np.frombuffer(letters.encode("latin-1", "replace"), np.uint8)]


class ProteinTokenizer(Tokenizer):
    """Tokenises proteins: <cls>, one token for each character, <eos>.

    For every single character the tokens are those of EsmTokenizer in ``transformers``, or with
    ``ESMC_ALPHABET`` those of EsmcTokenizer: lower case and J are <unk>, and "<mask>" in the sequence is the
    mask. For ESM C "|" is the break between two chains, one token like a residue; for the other families it
    is unknown.

    Two differences are intended. A run of unknown characters becomes one <unk> for each, as in EsmcTokenizer;
    EsmTokenizer makes one of the whole run and so shifts every residue behind it. White space is dropped, as
    in EsmTokenizer; EsmcTokenizer takes it for an unknown residue.

    Args:
        vocabulary: ``ESM_ALPHABET`` or ``ESMC_ALPHABET``.
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
        """Return the token numbers of a sequence, two more than it has residues.

        Args:
            sequence: The text of a clean record.
        """
        return self.frame(np.concatenate([*map(self._encode_part, self._special.split(sequence))]))

    def encode_all(self, sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the tokens of ``encode`` for many sequences, many times as fast.

        Args:
            sequences: The texts of clean records.
        """
        body = "".join(sequences)
        if not (body.isascii() and body.isprintable()) or " " in body or "<" in body:
            return super().encode_all(sequences)
        text = f"{_START}{_END_AND_START.join(sequences)}{_END}" if sequences else ""
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences)) + 2
        return self._of_byte_framed[np.frombuffer(text.encode("ascii"), np.uint8)], lengths

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """Return the spelling of each token, joined.

        A number beyond the vocabulary, for which the head of ESM C has rows, is <unk>.

        Args:
            tokens: The token numbers.
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
    doubt=doubt_dna,
    units=residues_of,
    codes=codes_of,
    n_codes=N_CODES,
    has_variants=True,
    tokenizer=ProteinTokenizer,
    default_model="protein-nano",
)
