"""Parts of a data set: given by a column, drawn at random, by whole groups, or so that no held-out protein
has a relative in training.
"""

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
    "key_of_cell",
    "label_sequences",
    "split_by_identity",
]
