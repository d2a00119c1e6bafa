"""What scoring gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSummary:
    """What a run from file to file did; the scores themselves are in ``output``.

    ``n_variants`` rows of which ``n_unscored`` have no score. ``n_tokens`` went through the models in all
    sessions of the run; ``seconds`` and ``variants_per_second`` are of the last one.
    """

    output: str
    n_variants: int
    n_unscored: int
    n_tokens: int
    seconds: float
    variants_per_second: float
    dtype_reason: str
    provenance: Mapping[str, Any]
    notices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreMergeSummary:
    """What the shards of a run held together: ``n_variants`` rows of which ``n_unscored`` have no score.
    ``notices`` are those of reading their input.
    """

    output: str
    n_shards: int
    n_variants: int
    n_unscored: int
    seconds: float
    provenance: Mapping[str, Any]
    notices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexitySummary:
    """What a run from file to file did. ``perplexity`` is that of all residues together, None of none."""

    output: str
    perplexity: float | None
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float
    dtype_reason: str
    provenance: Mapping[str, Any]
    notices: Mapping[str, int]
