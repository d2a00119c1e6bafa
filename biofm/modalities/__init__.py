"""What a model reads: the modalities, and their tokenizers."""

from biofm.modalities.columns import columns_of
from biofm.modalities.item import Item, items_of
from biofm.modalities.modality import Encoded, Modality, Tokenizer, Tokens, Words
from biofm.modalities.protein import ESM_ALPHABET, ESMC_ALPHABET, PROTEIN, STANDARD_RESIDUES, ProteinTokenizer

__all__ = [
    "ESMC_ALPHABET",
    "ESM_ALPHABET",
    "PROTEIN",
    "STANDARD_RESIDUES",
    "Encoded",
    "Item",
    "Modality",
    "ProteinTokenizer",
    "Tokenizer",
    "Tokens",
    "Words",
    "columns_of",
    "items_of",
]
