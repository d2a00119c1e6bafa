"""Running a model over sequences."""

from biofm.inference.compute import Compute, choose_compute, place
from biofm.inference.embed import POOLS, Embedder, EmbedOptions
from biofm.inference.masked import Predictor, Query
from biofm.inference.records import Corpus

__all__ = [
    "POOLS",
    "Compute",
    "Corpus",
    "EmbedOptions",
    "Embedder",
    "Predictor",
    "Query",
    "choose_compute",
    "place",
]
