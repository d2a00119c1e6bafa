"""Predicting with what was fine-tuned."""

from biofm.inference.prediction.domain import Domain, DomainTally, TrainingRows, describe_training
from biofm.inference.prediction.ensemble import Combined, combine
from biofm.inference.prediction.files import PredictorFiles, files_of_predictor, find_predictor
from biofm.inference.prediction.heads import Head
from biofm.inference.prediction.info import MemberInfo, PredictorInfo
from biofm.inference.prediction.nearest import Nearest
from biofm.inference.prediction.predictor import (
    Answer,
    Branch,
    Ensemble,
    Part,
    mean_of_residues,
    open_branch,
    read_ensemble,
)
from biofm.inference.prediction.to_table import predictions_to_table
from biofm.inference.prediction.trust import NOTHING_KEPT, Remark, remark_domain, remark_promises

__all__ = [
    "NOTHING_KEPT",
    "Answer",
    "Branch",
    "Combined",
    "Domain",
    "DomainTally",
    "Ensemble",
    "Head",
    "MemberInfo",
    "Nearest",
    "Part",
    "PredictorFiles",
    "PredictorInfo",
    "Remark",
    "TrainingRows",
    "combine",
    "describe_training",
    "files_of_predictor",
    "find_predictor",
    "mean_of_residues",
    "open_branch",
    "predictions_to_table",
    "read_ensemble",
    "remark_domain",
    "remark_promises",
]
