"""Decides which sequences come next: shuffled without end, packed to a token budget, found again from a
number.
"""

from biofm_datasets.sampling.mixture import Mixture
from biofm_datasets.sampling.permutation import permute
from biofm_datasets.sampling.plan import Cursor, Plan, fill_bins

__all__ = ["Cursor", "Mixture", "Plan", "fill_bins", "permute"]
