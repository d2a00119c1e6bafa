"""Defines what a model reads: the modalities, their tokenizers, and clean records with their tokens."""

from biofm_datasets.arrays import Tokens

from biofm.modalities.columns import SameColumns, columns_of
from biofm.modalities.item import Item, items_of
from biofm.modalities.modality import Encoded, Modality, Tokenizer, Words, check_asked
from biofm.modalities.protein import ESM_ALPHABET, ESMC_ALPHABET, PROTEIN, STANDARD_RESIDUES, ProteinTokenizer
from biofm.modalities.records import (
    SKIPPED,
    RecordOptions,
    check_format,
    note_skipped,
    records_of_file,
    records_of_values,
)
from biofm.modalities.values import Sequences, sequence_of, texts_of

__all__ = [
    "ESMC_ALPHABET",
    "ESM_ALPHABET",
    "PROTEIN",
    "SKIPPED",
    "STANDARD_RESIDUES",
    "Encoded",
    "Item",
    "Modality",
    "ProteinTokenizer",
    "RecordOptions",
    "SameColumns",
    "Sequences",
    "Tokenizer",
    "Tokens",
    "Words",
    "check_asked",
    "check_format",
    "columns_of",
    "items_of",
    "note_skipped",
    "records_of_file",
    "records_of_values",
    "sequence_of",
    "texts_of",
]
