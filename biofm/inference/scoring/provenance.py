"""How scores and perplexities are made, to be kept beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

from biofm_datasets.protein import Gaps

from biofm.core import __version__, torch_version
from biofm.core.choices import PerplexityMethod
from biofm.inference.compute import Compute
from biofm.inference.scoring.readings import ScoringModel
from biofm.inference.scoring.scorer import Scorer


def provenance_of_scores(
    scorer: Scorer, models: Sequence[str], offset: int, compute: Compute
) -> dict[str, Any]:
    """What decides the scores of models, asked for by these names, of variants numbered with this offset."""
    return {
        "method": scorer.method,
        **scorer.readers[0].tokenizer.provenance,
        "offset": offset,
        "models": [_of_model(*one) for one in zip(models, scorer.readers, strict=True)],
        **_of_computing(compute),
    }


def provenance_of_perplexities(
    reader: ScoringModel, model: str, method: PerplexityMethod, gaps: Gaps, compute: Compute
) -> dict[str, Any]:
    """What decides the perplexities of a model, which was asked for by this name."""
    return {
        "method": method,
        **_of_model(model, reader),
        **reader.tokenizer.provenance,
        "gaps": gaps,
        **_of_computing(compute),
    }


def _of_model(name: str, reader: ScoringModel) -> Mapping[str, Any]:
    return {"model": name, "sha256": reader.sha256, "window_residues": reader.window}


def _of_computing(compute: Compute) -> Mapping[str, Any]:
    return {
        "dtype": compute.dtype_name,
        "device": compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }
