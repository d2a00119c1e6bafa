"""Running a model over sequences."""

from biofm.inference.compute import Compute, choose_compute, place
from biofm.inference.embed import POOLS, Embedder, EmbedOptions
from biofm.inference.masked import Predictor, Query

__all__ = [
    "POOLS",
    "Compute",
    "EmbedOptions",
    "Embedder",
    "Predictor",
    "Query",
    "choose_compute",
    "place",
]
