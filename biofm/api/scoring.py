"""``score``: what models expect of variants."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.api.model import DEFAULT_MODEL, Model, load
from biofm.api.request import request_of
from biofm.core import Progress, __version__, torch_version
from biofm.core.errors import OptionError
from biofm.core.stores import provenance_path
from biofm.core.tables import check_table_suffix, open_table
from biofm.gate import ask
from biofm.inference.scoring import Method, ScoreOptions, Scorer
from biofm.inference.scoring.cases import Cases, begun
from biofm.inference.scoring.results import ScoreSummary
from biofm.inference.scoring.scan import STANDARD, scan_matrix
from biofm.inference.scoring.sources import Sources
from biofm.inference.scoring.to_table import Pace, score_to_table
from biofm.policy import Target
from biofm.report import check_figure_suffix, draw_scan


def score(
    variants: str | Path | None,
    output: str | Path,
    *,
    wild_type: str | Path | None = None,
    all_singles: bool = False,
    models: Sequence[str | Path] = (DEFAULT_MODEL,),
    method: Method = "masked-marginals",
    offset: int = 0,
    variant_column: str | None = None,
    mutated_column: str | None = None,
    protein_column: str | None = None,
    sequence_column: str | None = None,
    picture: str | Path | None = None,
    dtype: str = "float32",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> ScoreSummary:
    """Score the variants of a table (CSV, TSV, Parquet; ``-`` is standard input) into a table.

    Every column is passed on; behind them stand the method, whether windows were needed, a score for each
    of ``models`` and their mean. Wild types come from the file ``wild_type`` (one record for all rows, or
    several named by ``protein_column``) or from the table's ``sequence_column``. With ``all_singles`` there
    are no ``variants``: every substitution of every wild type is scored, and ``picture`` draws one protein's.
    The notations are those of ``biofm_datasets.variants``, the numbering that of
    ``biofm_datasets.changes.locate``, the methods those of ``biofm.inference.scoring.methods``. All models
    are in memory at once; the table is not.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    options = ScoreOptions(
        method=method, offset=offset, variant_column=variant_column, mutated_column=mutated_column,
        on_error=on_error,
    )  # fmt: skip
    sources = Sources(
        variants=_path(variants), wild_type=_path(wild_type), all_singles=all_singles,
        only_one=picture is not None, sequence_column=sequence_column, protein_column=protein_column,
    )  # fmt: skip
    target, drawn = Path(output), _path(picture)
    names = _column_names([str(model) for model in models])
    writes = _writes(target, drawn, overwrite=overwrite)
    request = request_of("score", reads=sources.files(), writes=writes, model=", ".join(map(str, models)))
    notices: Counter[str] = Counter()
    scanned: list[tuple[Cases, NDArray[np.float32]]] = []
    with ask(request) as permit:
        cases = begun(sources.cases(permit.reader, options, notices))
        loaded = [load(model, device=device, dtype=dtype) for model in models]
        scorer = Scorer([one.reader(tokens_per_batch) for one in loaded], options.method)
        provenance = _provenance(loaded, scorer, options)
        beside = permit.writer("provenance") if "provenance" in writes else None
        table = open_table(permit.writer("output"), target.suffix.lower(), provenance, beside)
        keep = scanned.append if drawn else lambda part: None
        with Progress("scoring", quiet=quiet) as bar:
            tally = score_to_table(cases, scorer, names, table, notices, Pace(bar), keep)
        if drawn:
            _draw(scanned, ", ".join(names), offset, permit.writer("picture"), drawn.suffix.lower())
    return ScoreSummary(
        output=str(target),
        dtype_reason=loaded[0].compute.reason,
        provenance=provenance,
        notices=dict(+notices),
        **tally,
    )


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _writes(target: Path, drawn: Path | None, *, overwrite: bool) -> dict[str, Target]:
    """What is written, by role. Raises OutputError for a suffix that cannot be."""
    check_table_suffix(target)
    paths = {"output": target}
    if beside := provenance_path(target):
        paths["provenance"] = beside
    if drawn is not None:
        check_figure_suffix(drawn)
        paths["picture"] = drawn
    return {role: Target(path=path, overwrite=overwrite) for role, path in paths.items()}


def _column_names(models: list[str]) -> list[str]:
    """What the models' columns are called: the last part of each name, where that tells them apart.

    Raises OptionError for no model, and for one that is named twice.
    """
    if not models or len(set(models)) < len(models):
        what = "a model is named twice" if models else "no model is named"
        raise OptionError(what, where="--model", remedy="Name each model once")
    short = [Path(model).name.removesuffix(".pt") for model in models]
    return short if len(set(short)) == len(short) else models


def _provenance(loaded: Sequence[Model], scorer: Scorer, options: ScoreOptions) -> dict[str, Any]:
    """What decides the numbers, to be written into the table or beside it."""
    pairs = zip(loaded, scorer.readers, strict=True)
    return {
        "method": options.method,
        "offset": options.offset,
        "models": [
            {"model": one.info.name, "sha256": one.info.sha256, "window_residues": reader.window}
            for one, reader in pairs
        ],
        "dtype": loaded[0].compute.dtype_name,
        "device": loaded[0].compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }


def _draw(
    scanned: Sequence[tuple[Cases, NDArray[np.float32]]],
    model: str,
    offset: int,
    handle: BinaryIO,
    suffix: str,
) -> None:
    first, _ = scanned[0]
    sequence = first.variants[0].wild_type
    matrix = scan_matrix(sequence, np.concatenate([scores for _, scores in scanned]))
    title = f"{first.columns['protein'][0]}: {model}"
    draw_scan(sequence, matrix, STANDARD, 1 + offset, title, handle, suffix)
