"""The protein alphabet of ESM-1b, ESM-2 and ESM C, one token a residue."""

import re

import numpy as np
from numpy.typing import NDArray

STANDARD_RESIDUES = "LAGVSERTIDPKQNFYMHWC"

# In the order of the published checkpoints: the row of the embedding matrix is the place in this tuple.
VOCABULARY = ("<cls>", "<pad>", "<eos>", "<unk>", *STANDARD_RESIDUES, *"XBUZO.-", "<null_1>", "<mask>")

_SPECIAL = re.compile("(" + "|".join(re.escape(token) for token in VOCABULARY if len(token) > 1) + ")")


class ProteinTokenizer:
    """<cls>, one token a character, <eos>.

    The tokens are those of ``transformers``' EsmTokenizer for every single character: lower case and J are
    <unk>, white space is nothing, and "<mask>" written in the sequence is the mask. One difference is meant:
    a run of unknown characters gives one <unk> each, where EsmTokenizer gives one for the whole run and so
    shifts every residue behind it.
    """

    def __init__(self) -> None:
        self.vocabulary = VOCABULARY
        self.number = {token: i for i, token in enumerate(VOCABULARY)}
        self.cls, self.eos = self.number["<cls>"], self.number["<eos>"]
        self.unknown, self.mask = self.number["<unk>"], self.number["<mask>"]
        self.standard = np.array([self.number[residue] for residue in STANDARD_RESIDUES], dtype=np.uint8)
        self._of_byte = np.full(256, self.unknown, dtype=np.uint8)
        for token, i in self.number.items():
            if len(token) == 1:
                self._of_byte[ord(token)] = i

    def encode(self, sequence: str) -> NDArray[np.uint8]:
        """Token numbers, shape (residues + 2,)."""
        body = np.concatenate([self._encode_part(part) for part in _SPECIAL.split(sequence)])
        return np.concatenate([[self.cls], body, [self.eos]]).astype(np.uint8)

    def decode(self, tokens: NDArray[np.integer]) -> str:
        """The vocabulary's spelling of each token, joined."""
        return "".join(self.vocabulary[token] for token in tokens)

    def _encode_part(self, part: str) -> NDArray[np.uint8]:
        if part in self.number:
            return np.array([self.number[part]], dtype=np.uint8)
        characters = "".join(part.split())  # without white space
        # Characters beyond Latin-1 become "?", which the vocabulary lacks like every other unknown character.
        return self._of_byte[np.frombuffer(characters.encode("latin-1", "replace"), dtype=np.uint8)]
