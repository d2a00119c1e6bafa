"""What a data set is like: lengths, letters, copies, and what its split lets through."""

from biofm.evaluation.dataset.describe import describe_sources, describe_store
from biofm.evaluation.dataset.description import (
    Description,
    Histogram,
    Leakage,
    Shared,
    SourceDescription,
)
from biofm.evaluation.dataset.leakage import measure_leakage
from biofm.evaluation.dataset.tally import Tally

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
