"""How well a model expects variants of proteins, and whole proteins."""

from biofm.inference.scoring.methods import METHODS, Variant
from biofm.inference.scoring.options import ScoreOptions
from biofm.inference.scoring.perplexity import PERPLEXITY_METHODS, perplexities
from biofm.inference.scoring.readings import Reading, ScoringModel
from biofm.inference.scoring.scorer import Scorer

__all__ = [
    "METHODS",
    "PERPLEXITY_METHODS",
    "Reading",
    "ScoreOptions",
    "Scorer",
    "ScoringModel",
    "Variant",
    "perplexities",
]
