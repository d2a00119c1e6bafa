"""Reads the files that biology already has, as streams of records. Knows nothing of models.

Splits, samples and stores are imported from ``biofm_datasets.splits``, ``.sampling`` and ``.store``: they
need numpy, which would make this package slow to import.
"""

from biofm_datasets.errors import DataError, NoProteinError
from biofm_datasets.protein import clean_protein
from biofm_datasets.records import Cell, Record
from biofm_datasets.sequences import read_sequences
from biofm_datasets.variants import Change, parse_variant

__all__ = [
    "Cell",
    "Change",
    "DataError",
    "NoProteinError",
    "Record",
    "clean_protein",
    "parse_variant",
    "read_sequences",
]
