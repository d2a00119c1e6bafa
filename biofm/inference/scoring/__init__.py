"""Scoring: compute how well a model expects variants of proteins, and whole proteins.

A row of the input goes through these modules. ``sources`` opens the files and finds its wild type. ``cases``
(or ``scan``) checks its variant. ``rows`` numbers it and gathers chunks. ``scorer`` asks the models what its
``methods`` need. ``journal`` keeps the score until it is written into the table.
"""

from biofm.inference.scoring.cases import Cases, cases_of_values
from biofm.inference.scoring.estimate import ScoreEstimate, estimate_scores
from biofm.inference.scoring.journal import (
    ScoreTotals,
    count_unscored,
    fingerprint_of_scores,
    note_empty_rows,
    score_to_journal,
    totals_of_journal,
    totals_of_rows,
    write_scores,
)
from biofm.inference.scoring.methods import METHODS, Unscored, Variant
from biofm.inference.scoring.options import ScoreOptions, column_names
from biofm.inference.scoring.perplexity import (
    PERPLEXITY_METHODS,
    check_perplexity_method,
    perplexities,
    write_perplexities,
)
from biofm.inference.scoring.results import (
    PerplexitySummary,
    ScoreMergeSummary,
    ScoreSummary,
    provenance_of_perplexities,
    provenance_of_scores,
)
from biofm.inference.scoring.rows import Rows
from biofm.inference.scoring.scan import STANDARD, scan_matrix
from biofm.inference.scoring.scorer import Scorer
from biofm.inference.scoring.scoring_model import Reading, ScoringModel
from biofm.inference.scoring.sources import Sources

__all__ = [
    "METHODS",
    "PERPLEXITY_METHODS",
    "STANDARD",
    "Cases",
    "PerplexitySummary",
    "Reading",
    "Rows",
    "ScoreEstimate",
    "ScoreMergeSummary",
    "ScoreOptions",
    "ScoreSummary",
    "ScoreTotals",
    "Scorer",
    "ScoringModel",
    "Sources",
    "Unscored",
    "Variant",
    "cases_of_values",
    "check_perplexity_method",
    "column_names",
    "count_unscored",
    "estimate_scores",
    "fingerprint_of_scores",
    "note_empty_rows",
    "perplexities",
    "provenance_of_perplexities",
    "provenance_of_scores",
    "scan_matrix",
    "score_to_journal",
    "totals_of_journal",
    "totals_of_rows",
    "write_perplexities",
    "write_scores",
]
