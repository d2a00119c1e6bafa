"""How good a model is, always beside the baselines that it must beat."""

from biofm.evaluation.assay import Assay, read_assay
from biofm.evaluation.evaluate import Evaluation, evaluate_assay
from biofm.evaluation.judge import Comparison, Row, scores_to_judge
from biofm.evaluation.options import EvaluateOptions
from biofm.evaluation.perplexity import (
    HeldOutPerplexity,
    causal_perplexity,
    held_out_perplexity,
    residue_frequencies,
)

__all__ = [
    "Assay",
    "Comparison",
    "EvaluateOptions",
    "Evaluation",
    "HeldOutPerplexity",
    "Row",
    "causal_perplexity",
    "evaluate_assay",
    "held_out_perplexity",
    "read_assay",
    "residue_frequencies",
    "scores_to_judge",
]
