"""``predict``: what a fine-tuned model says of new sequences."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os.path import exists, isabs
from pathlib import Path
from typing import Any

from biofm_datasets.protein import Gaps

from biofm.api.model import load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.table import open_output, table_targets
from biofm.core import Progress, __version__, torch_version
from biofm.core.errors import ModelError, OptionError
from biofm.core.tables import check_table_suffix
from biofm.evaluation.calibration import COVERAGE
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import Compute, choose_compute
from biofm.inference.intake import Intake
from biofm.inference.prediction import (
    NOTHING_KEPT,
    DomainTally,
    Ensemble,
    PredictorFiles,
    PredictorInfo,
    Remark,
    files_of_predictor,
    find_predictor,
    predictions_to_table,
    read_ensemble,
    remark_domain,
    remark_promises,
)
from biofm.modalities.records import RecordOptions, records_of_file
from biofm.models import Checkpoint


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


def predict(
    input: str | Path,
    output: str | Path,
    *,
    predictor: str | Path,
    model: str | Path | None = None,
    coverage: float = COVERAGE,
    window: int | None = None,
    dtype: str | None = None,
    device: str = "auto",
    tokens_per_batch: int | None = None,
    format: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps | None = None,
    modality: str | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> PredictSummary:
    """What a predictor of ``biofm.finetune`` says of the sequences of a file (FASTA, CSV, TSV, Parquet; ``-``
    is standard input).

    ``output`` is a table (.csv, .tsv, .parquet; ``-`` is standard output, as CSV) with the columns ``id``,
    ``record`` (its number in the input, from 1), ``n_residues`` and those of
    ``biofm.inference.prediction.columns``: predictions with intervals that hold the share ``coverage`` of the
    truths, classes with probabilities, or a letter a residue; ``out_of_domain`` names why a row is unlike
    those of training, and then the promise does not hold. ``model`` says where the model that was fine-tuned
    lies now, if not where it lay. ``window``, ``gaps`` and ``dtype`` are those that the predictor was judged
    with unless given. Order and duplicate ids are kept; memory does not grow with the file. With ``on_error``
    "skip" records that cannot be read are left out and counted; where the model's numbers are not finite, the
    row is empty and a last column, ``reason``, says so.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    if not 0 < coverage < 1:
        what = f"{coverage} is not between 0 and 1"
        raise OptionError(what, where="--coverage", remedy=f"Give {COVERAGE} or the like")
    reading = RecordOptions(
        format=format,
        column=column,
        id_column=id_column,
        on_error=on_error,
        gaps=gaps or "drop",
        modality=modality,
    )
    source, folder, target = path_of(input), find_predictor(Path(predictor)), Path(output)
    suffix = check_table_suffix(target)
    writes = table_targets(target, overwrite)
    paths = files_of_predictor(folder)
    reads = {"input": (source,), "predictor": paths}
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request_of("predict", reads=reads, writes=writes, model=str(folder))) as permit:
        stream = permit.reader("input")
        opened = zip(paths, permit.readers("predictor"), strict=True)
        files = PredictorFiles({path.relative_to(folder).as_posix(): it for path, it in opened}, str(folder))
        reading = replace(reading, gaps=gaps or files.info.gaps)
        compute = choose_compute(device, dtype or files.info.dtype)
        ensemble = read_ensemble(
            files, _base(files.info, model), compute, window=window, tokens_per_batch=tokens_per_batch,
            on_error=on_error,
        )  # fmt: skip
        provenance = _provenance(ensemble, compute, str(folder), coverage, reading.gaps)
        records = records_of_file(stream, name, ensemble.embedder.tokenizer.modality, reading, notices)
        table = open_output(permit, target, provenance)
        with Progress("predicting", quiet=quiet) as bar:
            with_lists = suffix == ".parquet"
            counts, tally = predictions_to_table(
                Intake(records, stream), ensemble, coverage, table, notices, bar, with_lists=with_lists
            )
    return PredictSummary(
        output=str(target),
        task=files.info.task,
        targets=files.info.targets,
        n_members=len(files.info.members),
        dtype_reason=compute.reason,
        provenance=provenance,
        notices=dict(+notices),
        remarks=_remarks(ensemble, coverage, tally),
        domain={} if ensemble.domain is None else tally.counts(),
        **counts,
    )


def _remarks(ensemble: Ensemble, coverage: float, tally: DomainTally) -> tuple[Remark, ...]:
    promises = _promises(ensemble, coverage)
    return (*promises, *([] if ensemble.domain is None else remark_domain(ensemble.domain, tally)))


def _promises(ensemble: Ensemble, coverage: float) -> list[Remark]:
    """What is known before anything is predicted."""
    if ensemble.domain is None:
        return [Remark(NOTHING_KEPT, is_warning=True)]
    return remark_promises(ensemble.calibration, ensemble.info.targets, coverage)


def _base(info: PredictorInfo, model: str | Path | None) -> Checkpoint | None:
    """The model that the predictor stands on; None for one that has its own encoders.

    Raises ModelError where it is not there any more, or another one.
    """
    if info.has_encoders:
        return None
    if model is None and isabs(info.model) and not exists(info.model):
        what = "no such model any more, on which the predictor stands"
        raise ModelError(what, where=info.model, remedy="Say with --model where it lies now")
    loaded = load(info.model if model is None else model, device="cpu", dtype="float32")
    if loaded.info.sha256 != info.sha256:
        what = f"the predictor was trained on a model of other weights (SHA-256 {info.sha256[:12]}...)"
        raise ModelError(what, where=loaded.info.name, remedy="Say with --model where that one lies")
    return loaded.checkpoint


def _provenance(
    ensemble: Ensemble, compute: Compute, folder: str, coverage: float, gaps: str
) -> dict[str, Any]:
    info = ensemble.info
    return {
        "predictor": folder,
        "task": info.task,
        "targets": list(info.targets),
        "method": info.method,
        "members": len(info.members),
        "coverage": coverage,
        "model": info.model,
        "sha256": info.sha256,
        "tested": [remark.text for remark in _promises(ensemble, coverage)],
        **ensemble.embedder.tokenizer.provenance,
        "window": ensemble.embedder.options.window or 0,
        "gaps": gaps,
        "dtype": compute.dtype_name,
        "device": compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }
