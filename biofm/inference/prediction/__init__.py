"""Prediction: load a fine-tuned predictor, and apply it to sequences.

``files`` reads the folder of a predictor. ``predictor`` runs its members, each an encoder (with ``adapters``)
and a head (``heads``), and combines their outputs into one prediction. ``table`` writes the predictions.
``domain`` tells which proteins are like those of training, and ``trust`` how far predictions can be trusted.
"""

from biofm.inference.prediction.domain import (
    MOST_KEPT,
    REASONS,
    Domain,
    DomainTally,
    Nearest,
    TrainingRows,
    describe_training,
)
from biofm.inference.prediction.files import (
    CALIBRATION_FILE,
    HEAD_FILE,
    MEMBERS,
    PREDICTOR_FILE,
    TRAINING_FILE,
    MemberInfo,
    PredictorFiles,
    PredictorInfo,
    files_of_predictor,
    find_predictor,
    write_info,
)
from biofm.inference.prediction.heads import Head, embedder_pool, linear_head
from biofm.inference.prediction.predictor import (
    Answer,
    Branch,
    Combined,
    Predictions,
    Predictor,
    combine,
    mean_of_residues,
    open_branch,
    open_predictor,
)
from biofm.inference.prediction.table import (
    PredictSummary,
    domain_columns,
    prediction_columns,
    suffixes,
    write_predictions,
)
from biofm.inference.prediction.trust import NOTHING_KEPT, Remark, remark_domain, remark_promises

__all__ = [
    "CALIBRATION_FILE",
    "HEAD_FILE",
    "MEMBERS",
    "MOST_KEPT",
    "NOTHING_KEPT",
    "PREDICTOR_FILE",
    "REASONS",
    "TRAINING_FILE",
    "Answer",
    "Branch",
    "Combined",
    "Domain",
    "DomainTally",
    "Head",
    "MemberInfo",
    "Nearest",
    "PredictSummary",
    "Predictions",
    "Predictor",
    "PredictorFiles",
    "PredictorInfo",
    "Remark",
    "TrainingRows",
    "combine",
    "describe_training",
    "domain_columns",
    "embedder_pool",
    "files_of_predictor",
    "find_predictor",
    "linear_head",
    "mean_of_residues",
    "open_branch",
    "open_predictor",
    "prediction_columns",
    "remark_domain",
    "remark_promises",
    "suffixes",
    "write_info",
    "write_predictions",
]
