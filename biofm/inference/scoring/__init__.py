"""How well a model expects variants of proteins, and whole proteins."""

from biofm.inference.scoring.methods import METHODS, Method, Variant
from biofm.inference.scoring.options import ScoreOptions
from biofm.inference.scoring.perplexity import PERPLEXITY_METHODS, PerplexityMethod, perplexities
from biofm.inference.scoring.readings import Reader, Reading
from biofm.inference.scoring.scorer import Scorer

__all__ = [
    "METHODS",
    "PERPLEXITY_METHODS",
    "Method",
    "PerplexityMethod",
    "Reader",
    "Reading",
    "ScoreOptions",
    "Scorer",
    "Variant",
    "perplexities",
]
