"""Predicting with what was fine-tuned."""

from biofm.inference.prediction.ensemble import Combined, combine
from biofm.inference.prediction.files import PredictorFiles, files_of_predictor
from biofm.inference.prediction.heads import Head, HeadPool
from biofm.inference.prediction.info import MemberInfo, Method, PredictorInfo
from biofm.inference.prediction.predictor import Branch, Ensemble, Part, open_branch, read_ensemble
from biofm.inference.prediction.to_table import predictions_to_table

__all__ = [
    "Branch",
    "Combined",
    "Ensemble",
    "Head",
    "HeadPool",
    "MemberInfo",
    "Method",
    "Part",
    "PredictorFiles",
    "PredictorInfo",
    "combine",
    "files_of_predictor",
    "open_branch",
    "predictions_to_table",
    "read_ensemble",
]
