"""What predicting with a fine-tuned model gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from biofm.inference.prediction.trust import Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSummary:
    """What a run did; the predictions are in ``output``. ``notices``: what was changed, counted.

    ``remarks``: how far the predictions can be trusted, a sentence each, and whether it is a warning.
    ``domain``: rows that are out of the domain of training, counted by the reason; empty of a predictor that
    an earlier biofm made.
    """

    output: str
    task: str
    targets: tuple[str, ...]
    n_members: int
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float
    dtype_reason: str
    provenance: Mapping[str, Any]
    notices: Mapping[str, int]
    remarks: tuple[Remark, ...]
    domain: Mapping[str, int]
