"""The public verbs.

Each builds a request, asks the gate, works with the permit's files, and lets the gate record the end.
"""

from biofm.api.embedding import embed, neighbours
from biofm.api.estimating import estimate
from biofm.api.merging import merge
from biofm.api.model import DEFAULT_MODEL, Model, info, load, models
from biofm.api.training import pretrain

__all__ = [
    "DEFAULT_MODEL",
    "Model",
    "embed",
    "estimate",
    "info",
    "load",
    "merge",
    "models",
    "neighbours",
    "pretrain",
]
