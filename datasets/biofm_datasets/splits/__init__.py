"""Splits a data set into parts: by a column, at random, by whole groups, or by similarity.

A split by similarity lets no held-out protein have a relative in training.
"""

from biofm_datasets.splits.hold_out import TooFewError
from biofm_datasets.splits.in_memory import Split, split_by_identity
from biofm_datasets.splits.keys import key_of_cell
from biofm_datasets.splits.label import Labels, label_sequences
from biofm_datasets.splits.options import METHODS, TOOLS, SplitOptions
from biofm_datasets.splits.relatives import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH, Spelling

__all__ = [
    "MAX_HELD_OUT_LENGTH",
    "METHODS",
    "MIN_HELD_OUT_LENGTH",
    "TOOLS",
    "Labels",
    "Spelling",
    "Split",
    "SplitOptions",
    "TooFewError",
    "key_of_cell",
    "label_sequences",
    "split_by_identity",
]
