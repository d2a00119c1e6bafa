"""Results: this module describes what ``score`` and ``perplexity`` return, and how the numbers were made."""

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
    """Tells what a scoring run did; the scores are in the file ``output``.

    Attributes:
        output: The path of the file.
        n_variants: How many rows the file has.
        n_unscored: How many of them have no score.
        n_tokens: How many tokens the models processed in all sessions of the run.
        seconds: How long the last session took.
        variants_per_second: The speed of the last session.
        dtype_reason: Why the models ran in their dtype, in words.
        provenance: How the scores were made.
        notices: What was changed or left out, as a phrase and how often it happened.
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
    """Tells what a merge of shards did; the scores are in the file ``output``.

    Attributes:
        output: The path of the file.
        n_shards: How many shards were merged.
        n_variants: How many rows the file has.
        n_unscored: How many of them have no score.
        seconds: How long the merge took.
        provenance: How the scores were made.
        notices: What was changed or left out when the input was read, as a phrase and how often it happened.
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
    """Tells what a run of ``perplexity`` did; the perplexity of each sequence is in the file ``output``.

    Attributes:
        output: The path of the file.
        perplexity: The perplexity of all residues together. It is None where no residue counted, and NaN
            where a row of the output is empty because the model's numbers are not finite.
        n_sequences: How many sequences the input has.
        n_residues: How many of their residues counted.
        n_tokens: How many tokens the model processed.
        seconds: How long the run took.
        tokens_per_second: The speed of the run.
        dtype_reason: Why the model ran in its dtype, in words.
        provenance: How the perplexities were made.
        notices: What was changed or left out, as a phrase and how often it happened.
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
    """Return everything that decides the scores, to be kept beside them.

    Args:
        scorer: The models and the method.
        names: The names by which the user asked for the models.
        offset: What the numbering of the variants adds.
        compute: The device and the dtype of the models.
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
    """Return everything that decides the perplexities, to be kept beside them.

    Args:
        model: The model.
        name: The name by which the user asked for the model.
        method: "pseudo" or "single-pass".
        gaps: What was done with gaps in the sequences.
        compute: The device and the dtype of the model.
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
