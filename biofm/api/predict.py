"""``predict``: what a fine-tuned model says of new sequences."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from os.path import exists, isabs
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from biofm_datasets.protein import Gaps

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import load
from biofm.core.choices import DtypeName
from biofm.core.errors import ModelError, OptionError
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Contacts, Reads, Request

if TYPE_CHECKING:
    from biofm.gate import Permit
    from biofm.inference import Compute
    from biofm.inference.prediction import (
        DomainTally,
        Predictor,
        PredictorFiles,
        PredictorInfo,
        PredictSummary,
        Remark,
    )
    from biofm.models import Checkpoint

COVERAGE = 0.9


@dataclass(frozen=True, slots=True)
class Predict(Verb["PredictSummary"]):
    """Predict with a fine-tuned model: numbers with intervals, classes with probabilities, or a letter for
    each residue.

    It is what a predictor of ``biofm.finetune`` says of the sequences of a file (FASTA, CSV, TSV, Parquet;
    ``-`` is standard input). ``output`` is a table (.csv, .tsv, .parquet; ``-`` is standard output, as CSV)
    with the columns ``id``, ``record`` (its number in the input, from 1), ``n_residues`` and those of
    ``biofm.inference.prediction.table``: predictions with intervals that hold the share ``coverage`` of the
    truths, classes with probabilities, or a letter a residue; ``out_of_domain`` names why a row is unlike
    those of training, and then the promise does not hold. Order and duplicate ids are kept; memory does not
    grow with the file.

    ``model`` says where the model that was fine-tuned lies now, if not where it lay. ``window``, ``gaps`` and
    ``dtype`` are those that the predictor was judged with unless given. With ``on_error`` "skip" records that
    cannot be read are left out and counted; where the model's numbers are not finite, the row is empty and a
    last column, ``reason``, says so.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """

    input: options.Input
    output: options.Table
    _: KW_ONLY
    predictor: Annotated[
        str | Path,
        Option("The folder of a run of `biofm finetune`, or the folder predictor/ in it.", short="-p"),
        Reads("predictor"),
    ]
    model: Annotated[
        str | Path | None,
        Option("Where the model that was fine-tuned lies now, if not where it lay then.", short="-m"),
        Reads("model"),
        Contacts("hub"),
    ] = None
    coverage: Annotated[
        float, Option("The share of truths that the intervals are to hold, between 0 and 1."), NONE
    ] = COVERAGE
    window: Annotated[
        int | None,
        Option(
            "Run longer sequences by windows of so many units, which overlap by half. By default it is the "
            "window with which the predictor was judged."
        ),
        NONE,
    ] = None
    dtype: Annotated[
        DtypeName | None,
        Option("The precision of the model. By default it is that in which the predictor was judged."),
        NONE,
    ] = None
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    format: options.Format = None
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: Annotated[
        Gaps | None, Option(f"{options.GAPS} By default it is what was done in training."), NONE
    ] = None
    modality: options.As = None
    on_error: options.AtFault = "stop"
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.tables import check_table_suffix
        from biofm.inference.prediction import files_of_predictor, find_predictor

        if not 0 < self.coverage < 1:
            what = f"{self.coverage} is not between 0 and 1"
            raise OptionError(what, where="--coverage", remedy=f"Give {COVERAGE} or the like")
        reading_of(self, self.gaps or "drop")  # refuses options that do not fit
        source, folder = path_of(self.input), find_predictor(path_of(self.predictor))
        check_table_suffix(Path(self.output))
        writes = table_targets(Path(self.output), self.overwrite)
        reads = {"input": (source,), "predictor": files_of_predictor(folder)}
        return self.asking(reads=reads, writes=writes, model=str(folder))

    def run(self, progress: ProgressSink = SILENT) -> "PredictSummary":
        from biofm.api.table import open_output  # these bring torch
        from biofm.core.tables import check_table_suffix
        from biofm.gate import ask
        from biofm.inference import choose_compute
        from biofm.inference.prediction import PredictSummary, write_predictions
        from biofm.inference.runs import Intake
        from biofm.modalities.records import records_of_file

        request, output = self.request(), Path(self.output)
        notices: Counter[str] = Counter()
        with ask(request) as permit:
            stream, files = permit.reader("input"), _files(permit, request)
            gaps = self.gaps or files.info.gaps
            compute = choose_compute(self.device, self.dtype or files.info.dtype)
            predictor = self._read(files, compute)
            provenance = _provenance(predictor, compute, request.model, self.coverage, gaps)
            modality, reading = predictor.embedder.tokenizer.modality, reading_of(self, gaps)
            records = records_of_file(stream, name_of_input(self.input), modality, reading, notices)
            table = open_output(permit, output, provenance)
            with progress.bar("predicting") as bar:
                with_lists = check_table_suffix(output) == ".parquet"
                counts, tally = write_predictions(
                    Intake(records, stream), predictor, self.coverage, table, notices, bar,
                    with_lists=with_lists,
                )  # fmt: skip
        return PredictSummary(
            output=str(output),
            task=files.info.task,
            targets=files.info.targets,
            n_members=len(files.info.members),
            dtype_reason=compute.reason,
            provenance=provenance,
            notices=dict(+notices),
            remarks=_remarks(predictor, self.coverage, tally),
            domain={} if predictor.domain is None else tally.counts(),
            **counts,
        )

    def _read(self, files: "PredictorFiles", compute: "Compute") -> "Predictor":
        """The predictor, with the options of this run."""
        from biofm.inference.prediction import open_predictor  # brings torch

        return open_predictor(
            files,
            _base(files.info, self.model),
            compute,
            window=self.window,
            tokens_per_batch=self.tokens_per_batch,
            on_error=self.on_error,
        )


def _files(permit: "Permit", request: Request) -> "PredictorFiles":
    """The opened files of the predictor, by their paths relative to its folder."""
    from biofm.inference.prediction import PredictorFiles  # brings torch

    opened = zip(request.reads["predictor"], permit.readers("predictor"), strict=True)
    named = {path.relative_to(request.model).as_posix(): file for path, file in opened}
    return PredictorFiles(named, request.model)


def _base(info: "PredictorInfo", model: str | Path | None) -> "Checkpoint | None":
    """The model that was fine-tuned; None where the predictor has encoders of its own.

    Raises ModelError where the model is gone, or has other weights than it had then.
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


def _remarks(predictor: "Predictor", coverage: float, tally: "DomainTally") -> "tuple[Remark, ...]":
    """How far the predictions can be trusted, after all of them are made."""
    from biofm.inference.prediction import remark_domain  # brings torch

    promises = _promises(predictor, coverage)
    return (*promises, *([] if predictor.domain is None else remark_domain(predictor.domain, tally)))


def _promises(predictor: "Predictor", coverage: float) -> "list[Remark]":
    """How far predictions can be trusted, as far as it is known before anything is predicted."""
    from biofm.inference.prediction import NOTHING_KEPT, Remark, remark_promises  # bring torch

    if predictor.domain is None:
        return [Remark(NOTHING_KEPT, is_warning=True)]
    return remark_promises(predictor.calibration, predictor.info.targets, coverage)


def _provenance(
    predictor: "Predictor", compute: "Compute", folder: str, coverage: float, gaps: str
) -> dict[str, Any]:
    """Everything that decides the predictions, to be kept beside them."""
    from biofm.core import __version__, torch_version  # bring numpy

    info = predictor.info
    return {
        "predictor": folder,
        "task": info.task,
        "targets": list(info.targets),
        "method": info.method,
        "members": len(info.members),
        "coverage": coverage,
        "model": info.model,
        "sha256": info.sha256,
        "tested": [remark.text for remark in _promises(predictor, coverage)],
        **predictor.embedder.tokenizer.provenance,
        "window": predictor.embedder.options.window or 0,
        "gaps": gaps,
        "dtype": compute.dtype_name,
        "device": compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }


predict = verb(Predict)
