"""What ``score`` and ``perplexity`` return: summaries of a run, and the provenance of its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biofm_datasets.protein import Gaps

from biofm.core import __version__, torch_version
from biofm.core.choices import PerplexityMethod
from biofm.inference.compute import Compute
from biofm.inference.scoring.scorer import Scorer
from biofm.inference.scoring.scoring_model import ScoringModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSummary:
    """What a scoring run did; the scores are in the file ``output``.

    ``n_unscored`` of the ``n_variants`` rows have no score. ``n_tokens`` is what the models processed in all
    sessions of the run; ``seconds`` and ``variants_per_second`` are those of the last session.
    ``dtype_reason`` says why the models ran in their precision. ``notices`` counts what was changed or left
    out, by the sentence that says so.
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
    """What the shards of a run held together; the scores are in the file ``output``.

    ``n_unscored`` of the ``n_variants`` rows have no score. ``notices`` are those of reading the input.
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
    """What a run of ``perplexity`` did; the perplexity of each sequence is in the file ``output``.

    ``perplexity`` is that of all residues together; None where no residue counted, NaN where a row of the
    output is empty because the model's numbers are not finite.
    """

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


def provenance_of_scores(
    scorer: Scorer, names: Sequence[str], offset: int, compute: Compute
) -> dict[str, Any]:
    """Everything that decides the scores, to be kept beside them. ``names`` are those by which the models of
    ``scorer`` were asked for; ``offset`` is that of the variants' numbering.
    """
    return {
        "method": scorer.method,
        **scorer.models[0].tokenizer.provenance,
        "offset": offset,
        "models": [_of_model(*one) for one in zip(names, scorer.models, strict=True)],
        **_of_compute(compute),
    }


def provenance_of_perplexities(
    model: ScoringModel, name: str, method: PerplexityMethod, gaps: Gaps, compute: Compute
) -> dict[str, Any]:
    """Everything that decides the perplexities, to be kept beside them. ``name`` is that by which the model
    was asked for; ``gaps`` says what was done with gaps in the sequences.
    """
    return {
        "method": method,
        **_of_model(name, model),
        **model.tokenizer.provenance,
        "gaps": gaps,
        **_of_compute(compute),
    }


def _of_model(name: str, model: ScoringModel) -> Mapping[str, Any]:
    return {"model": name, "sha256": model.sha256, "window_residues": model.window}


def _of_compute(compute: Compute) -> Mapping[str, Any]:
    return {
        "dtype": compute.dtype_name,
        "device": compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }
