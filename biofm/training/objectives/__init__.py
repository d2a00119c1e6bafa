"""What a model is trained for: each objective labels batches and computes the loss on them."""

from biofm.training.objectives.causal_lm import causal_lm
from biofm.training.objectives.classification import classification, multi_label
from biofm.training.objectives.masked_lm import masked_lm
from biofm.training.objectives.objective import Example, Labelled, Objective
from biofm.training.objectives.per_residue import per_residue
from biofm.training.objectives.regression import regression

__all__ = [
    "Example",
    "Labelled",
    "Objective",
    "causal_lm",
    "classification",
    "masked_lm",
    "multi_label",
    "per_residue",
    "regression",
]
