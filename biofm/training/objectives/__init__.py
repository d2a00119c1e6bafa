"""Objectives: each one labels batches with their targets and computes the loss on them."""

from biofm.training.objectives.labels import classification, multi_label, per_residue, regression
from biofm.training.objectives.language import causal_lm, masked_lm
from biofm.training.objectives.objective import Example, Labelled, Objective

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
