"""Running a model over sequences."""

from biofm.inference.compute import Compute, choose_compute, place
from biofm.inference.embed import POOLS, Embedder, EmbedOptions
from biofm.inference.queries import Query, QueryRunner

__all__ = [
    "POOLS",
    "Compute",
    "EmbedOptions",
    "Embedder",
    "Query",
    "QueryRunner",
    "choose_compute",
    "place",
]
