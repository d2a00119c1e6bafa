"""The verb ``predict``: apply a fine-tuned model to new sequences."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from os.path import exists, isabs
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from biofm_datasets.protein import Gaps

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import PREDICTS_BY_DEMONSTRATION, load, with_demonstration
from biofm.core.choices import DtypeName
from biofm.core.errors import ModelError, OptionError
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, ConnectsTo, Reads, Request

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
    """Predict numbers, classes or labels of residues with a fine-tuned model.

    ``predictor`` is what ``biofm.finetune`` wrote. The table has the columns ``id``, ``record`` (the number
    in the input, from 1), ``n_residues`` and those of ``biofm.inference.prediction.table``: predicted numbers
    with intervals that contain the measured value for the share ``coverage`` of the sequences, classes with
    probabilities, or a letter for each residue. ``out_of_domain`` says why a row is unlike the training data;
    its interval may then be too narrow. Order and duplicate ids are kept. Memory does not grow with the file.

    With ``on_error`` "skip", records that cannot be read are left out and counted. Where the model's numbers
    are not finite, the row is empty and a last column, ``reason``, says so.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
    """

    input: options.Input
    output: options.Table
    _: KW_ONLY
    predictor: Annotated[
        str | Path,
        Option(
            "Use this predictor: the folder of a run of `biofm finetune`, or the folder predictor/ in it.",
            short="-p",
            metavar="FOLDER",
            group="Model",
        ),
        Reads("predictor"),
    ]
    model: Annotated[
        str | Path | None,
        Option(
            "Load the model that was fine-tuned from this place, if it was moved. By default it is where it "
            "was in training.",
            short="-m",
            metavar="MODEL",
            group="Model",
        ),
        Reads("model"),
        ConnectsTo("hub"),
    ] = None
    coverage: Annotated[
        float,
        Option(
            "Make intervals that contain the measured value for this share of sequences, between 0 and 1.",
            group="Output",
        ),
        NONE,
    ] = COVERAGE
    window: Annotated[
        int | None,
        Option(
            f"{options.WINDOW} By default the window is the one with which the predictor was tested.",
            group="Model",
        ),
        NONE,
    ] = None
    dtype: Annotated[
        DtypeName | None,
        Option(
            f"{options.DTYPE} auto takes bfloat16 where the hardware multiplies it. By default it is the "
            "precision in which the predictor was tested.",
            metavar="DTYPE",
            group="Model",
        ),
        NONE,
    ] = None
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    format: options.Format = None
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: Annotated[
        Gaps | None,
        Option(f"{options.GAPS} By default it is what training did.", metavar="WORD", group="Input"),
        NONE,
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
            raise OptionError(what, where="--coverage", remedy=f"Give a number such as {COVERAGE}")
        reading_of(self, self.gaps or "drop")  # refuses options that do not fit
        source, folder = path_of(self.input), find_predictor(path_of(self.predictor))
        check_table_suffix(Path(self.output))
        writes = table_targets(Path(self.output), self.overwrite)
        reads = {"input": (source,), "predictor": files_of_predictor(folder)}
        return self.asking(reads=reads, writes=writes, model=str(folder))

    def models_loaded(self, request: Request, permit: "Permit") -> tuple[str, ...]:
        info = _files(permit, request).info
        return () if info.has_encoders else (str(info.model if self.model is None else self.model),)

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
            notices=with_demonstration(+notices, files.info.model, notice=PREDICTS_BY_DEMONSTRATION),
            remarks=_remarks(predictor, self.coverage, tally),
            domain={} if predictor.domain is None else tally.counts(),
            **counts,
        )

    def _read(self, files: "PredictorFiles", compute: "Compute") -> "Predictor":
        """Return the predictor with the options of this run."""
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
    """Return the opened files of the predictor by their paths relative to its folder."""
    from biofm.inference.prediction import PredictorFiles  # brings torch

    opened = permit.readers("predictor")
    named = {Path(file.name).relative_to(request.model).as_posix(): file for file in opened}
    return PredictorFiles(named, request.model)


def _base(info: "PredictorInfo", model: str | Path | None) -> "Checkpoint | None":
    """Load the model that was fine-tuned; None if the predictor has encoders of its own.

    Raises:
        ModelError: The model is gone, or its weights are not those of the training.
    """
    if info.has_encoders:
        return None
    if model is None and isabs(info.model) and not exists(info.model):
        what = "the model that was fine-tuned is no longer here, and the predictor needs it"
        raise ModelError(what, where=info.model, remedy="Give its present place with --model")
    loaded = load(info.model if model is None else model, device="cpu", dtype="float32")
    if loaded.info.sha256 != info.sha256:
        what = f"the predictor was trained on a model with other weights (SHA-256 {info.sha256[:12]}...)"
        raise ModelError(what, where=loaded.info.name, remedy="Give the place of that model with --model")
    return loaded.checkpoint


def _remarks(predictor: "Predictor", coverage: float, tally: "DomainTally") -> "tuple[Remark, ...]":
    """Return what limits the trust in the predictions, after all of them are made."""
    from biofm.inference.prediction import remark_domain  # brings torch

    promises = _promises(predictor, coverage)
    return (*promises, *([] if predictor.domain is None else remark_domain(predictor.domain, tally)))


def _promises(predictor: "Predictor", coverage: float) -> "list[Remark]":
    """Return what limits the trust in predictions, as far as it is known before predicting."""
    from biofm.inference.prediction import NOTHING_KEPT, Remark, remark_promises  # bring torch

    if predictor.domain is None:
        return [Remark(NOTHING_KEPT, is_warning=True)]
    return remark_promises(predictor.calibration, predictor.info.targets, coverage)


def _provenance(
    predictor: "Predictor", compute: "Compute", folder: str, coverage: float, gaps: str
) -> dict[str, Any]:
    """Return everything that decides the predictions, for the file of the predictions."""
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
