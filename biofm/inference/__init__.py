"""Inference: apply a model to sequences, to compute embeddings, token probabilities and contacts.

``engine`` makes the batches. ``embed``, ``queries`` and ``contacts`` run them. ``runs`` reads an input file
and writes an output file.
"""

from biofm.inference.compute import Compute, choose_compute, place
from biofm.inference.contacts import ContactMap, ContactMapper, ContactMaps, short_enough
from biofm.inference.embed import POOLS, Embedder, EmbedOptions
from biofm.inference.engine import BATCHES_PER_CHUNK, OnBatch
from biofm.inference.limits import MemoryWatch, activation_bytes, check_length, check_window, run_whole
from biofm.inference.neighbours import (
    NO_DIRECTION,
    FoundNeighbours,
    find_neighbours,
    similarity_of,
)
from biofm.inference.pooling import check_pool
from biofm.inference.queries import Query, QueryRunner
from biofm.inference.results import (
    EMPTY_ROWS,
    REASON,
    Embeddings,
    EmbedSummary,
    MergeSummary,
    emptied,
    reasons,
)
from biofm.inference.windows import Piece, Span, frame, frame_values, pieces, spans

__all__ = [
    "BATCHES_PER_CHUNK",
    "EMPTY_ROWS",
    "NO_DIRECTION",
    "POOLS",
    "REASON",
    "Compute",
    "ContactMap",
    "ContactMapper",
    "ContactMaps",
    "EmbedOptions",
    "EmbedSummary",
    "Embedder",
    "Embeddings",
    "FoundNeighbours",
    "MemoryWatch",
    "MergeSummary",
    "OnBatch",
    "Piece",
    "Query",
    "QueryRunner",
    "Span",
    "activation_bytes",
    "check_length",
    "check_pool",
    "check_window",
    "choose_compute",
    "emptied",
    "find_neighbours",
    "frame",
    "frame_values",
    "pieces",
    "place",
    "reasons",
    "run_whole",
    "short_enough",
    "similarity_of",
    "spans",
]
