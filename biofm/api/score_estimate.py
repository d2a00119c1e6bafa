"""``estimate_score``: what scoring will take."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from biofm.api.model import DEFAULT_MODEL, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.scoring import column_names
from biofm.gate import ask
from biofm.inference.scoring import Method, ScoreOptions, Scorer
from biofm.inference.scoring.cases import begun
from biofm.inference.scoring.estimate import ScoreEstimate, estimate_scores
from biofm.inference.scoring.rows import Rows
from biofm.inference.scoring.sources import Sources
from biofm.inference.shards import WHOLE, Shard


def estimate_score(
    variants: str | Path | None,
    *,
    wild_type: str | Path | None = None,
    all_singles: bool = False,
    models: Sequence[str | Path] = (DEFAULT_MODEL,),
    method: Method = "masked-marginals",
    offset: int = 0,
    format: str | None = None,
    modality: str | None = None,
    variant_column: str | None = None,
    mutated_column: str | None = None,
    protein_column: str | None = None,
    sequence_column: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    on_error: str = "stop",
    shard: str | None = None,
) -> ScoreEstimate:
    """What ``score`` with these options will take in time, memory and space on the disk.

    Reads everything, runs a sample for some seconds, writes nothing.

    Raises InputError, ModelError, OptionError.
    """
    options = ScoreOptions(
        method=method, offset=offset, variant_column=variant_column, mutated_column=mutated_column,
        on_error=on_error,
    )  # fmt: skip
    sources = Sources(
        variants=None if variants is None else path_of(variants),
        wild_type=None if wild_type is None else path_of(wild_type),
        all_singles=all_singles, sequence_column=sequence_column, protein_column=protein_column,
        format=format, modality=modality,
    )  # fmt: skip
    share = WHOLE if shard is None else Shard.parse(shard)
    names = column_names([str(model) for model in models])
    notices: Counter[str] = Counter()
    with ask(request_of("estimate", reads=sources.files(), model=", ".join(map(str, models)))) as permit:
        _, cases = begun(sources.cases(permit.reader, options, notices))
        loaded = [load(model, device=device, dtype=dtype) for model in models]
        scorer = Scorer([one.reader(tokens_per_batch) for one in loaded], options.method)
        rows = Rows(cases, scorer, notices)
        return estimate_scores(rows, scorer, names, share, notices, loaded[0].compute)
