"""Supervised tasks: this package reads tables of sequences and targets, computes metrics of predictions, and
fits the baselines to beat.
"""

from biofm.evaluation.supervised.baselines import Fit, find_baselines
from biofm.evaluation.supervised.judgement import JudgedRow, Judgement, Lead, Predictions, judge_predictions
from biofm.evaluation.supervised.labels import UNKNOWN, Labels, offsets_of, units_of
from biofm.evaluation.supervised.rows import NO_ROLE, TEST, TRAIN, VALIDATION, LabelOptions
from biofm.evaluation.supervised.table import LabelledTable, read_labelled
from biofm.evaluation.supervised.task_metrics import PRIMARY
from biofm.evaluation.supervised.tasks import TASKS

__all__ = [
    "NO_ROLE",
    "PRIMARY",
    "TASKS",
    "TEST",
    "TRAIN",
    "UNKNOWN",
    "VALIDATION",
    "Fit",
    "JudgedRow",
    "Judgement",
    "LabelOptions",
    "LabelledTable",
    "Labels",
    "Lead",
    "Predictions",
    "find_baselines",
    "judge_predictions",
    "offsets_of",
    "read_labelled",
    "units_of",
]
