"""Token stores: how they are written, and what a data set is like: lengths, letters, copies, and what its
split lets through.
"""

from biofm.corpus.describe import describe_sources, describe_store
from biofm.corpus.description import (
    Description,
    Histogram,
    Leakage,
    Shared,
    SourceDescription,
)
from biofm.corpus.leakage import measure_leakage
from biofm.corpus.tally import Tally

__all__ = [
    "Description",
    "Histogram",
    "Leakage",
    "Shared",
    "SourceDescription",
    "Tally",
    "describe_sources",
    "describe_store",
    "measure_leakage",
]
