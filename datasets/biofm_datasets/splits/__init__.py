"""Parts of a data set: given by a column, drawn at random, by whole groups, or so that no held-out protein
has a relative in training.
"""

from biofm_datasets.splits.keys import key_of_cell
from biofm_datasets.splits.label import Labels, label_sequences
from biofm_datasets.splits.options import METHODS, TOOLS, SplitOptions

__all__ = ["METHODS", "TOOLS", "Labels", "SplitOptions", "key_of_cell", "label_sequences"]
