"""Evaluation: functions that measure how good a model is, always beside the baselines that it must beat."""

from biofm.evaluation.assay import Assay, EvaluateOptions, read_assay, unread_variants
from biofm.evaluation.assay_baselines import Missing, blosum62
from biofm.evaluation.assay_evaluation import Comparison, Evaluation, Row, evaluate_assay, scores_to_judge
from biofm.evaluation.bootstrap import (
    FEWEST_FOR_INTERVAL,
    IntervalEstimate,
    describe_interval,
    say_too_few,
)
from biofm.evaluation.calibration import (
    LEAST_PROBABILITY,
    THRESHOLD,
    Calibration,
    Intervals,
    Promise,
    Share,
    calibration_error,
    conformal_limit,
    fit_intervals,
    fit_temperatures,
    is_temperature,
)
from biofm.evaluation.comparison import say_which_is_better
from biofm.evaluation.contacts import (
    ContactPrecision,
    StructureContacts,
    contact_precision,
    contacts_of_chain,
)
from biofm.evaluation.linear_models import (
    LOGISTIC_C,
    Logistic,
    Scale,
    deal_folds,
    fit_dense_ridge,
    fit_logistic,
    scale_of,
    vector_blocks,
)
from biofm.evaluation.perplexity import (
    HeldOutPerplexity,
    held_out_perplexity,
    residue_frequencies,
)
from biofm.evaluation.rank_metrics import TOP_SHARE

__all__ = [
    "FEWEST_FOR_INTERVAL",
    "LEAST_PROBABILITY",
    "LOGISTIC_C",
    "THRESHOLD",
    "TOP_SHARE",
    "Assay",
    "Calibration",
    "Comparison",
    "ContactPrecision",
    "EvaluateOptions",
    "Evaluation",
    "HeldOutPerplexity",
    "IntervalEstimate",
    "Intervals",
    "Logistic",
    "Missing",
    "Promise",
    "Row",
    "Scale",
    "Share",
    "StructureContacts",
    "blosum62",
    "calibration_error",
    "conformal_limit",
    "contact_precision",
    "contacts_of_chain",
    "deal_folds",
    "describe_interval",
    "evaluate_assay",
    "fit_dense_ridge",
    "fit_intervals",
    "fit_logistic",
    "fit_temperatures",
    "held_out_perplexity",
    "is_temperature",
    "read_assay",
    "residue_frequencies",
    "say_too_few",
    "say_which_is_better",
    "scale_of",
    "scores_to_judge",
    "unread_variants",
    "vector_blocks",
]
