"""The verb ``finetune``: train a model to predict columns of a table."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from biofm_datasets.text import format_count

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import STANDARD_STREAM, path_of, refuse_resume
from biofm.api.loading import load, model_for, with_demonstration
from biofm.core.choices import ON_ERROR, AskedTask, FinetuneMethod, HeadPool, check_choice
from biofm.core.errors import InputError, input_errors
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, ConnectsTo, Reads, Request, Target, Writes
from biofm.training import FinetuneRecipe

if TYPE_CHECKING:
    from biofm.evaluation.supervised import LabelOptions
    from biofm.training.finetuning import Base, FinetuneEstimate, FinetuneSummary, Source

BEGUN, JOINED = "run", "joined run"  # the folder's role in the first process, and in the others


@dataclass(frozen=True, slots=True)
class Finetune(Verb["FinetuneSummary"]):
    """Train a model to predict columns of a table, and compare it with baselines.

    It trains a probe on the model's vectors, adapters in the model, or all its weights. ``target`` may name
    several columns of numbers, or of 0 and 1. Without a ``split_column`` the recipe's share of the sequences
    is held out at random. Where residues have labels, a dropped gap loses its label.

    Everything is written into the folder ``output``; ``biofm.predict`` takes the ``predictor`` in it.
    ``resume`` continues a run that was interrupted there.

    The recipe says how to train (``biofm.training.FinetuneRecipe``). It starts from ``recipe``, and is
    changed by the TOML file ``config``, then by the options here that are settings of it, then by ``sets``.

    Where several processes train together, each runs this verb. It returns in the first process and ends the
    others.

    ``Finetune(...).estimate()`` predicts the time, memory and disk space of a run, and how large its batches
    may be. It reads the table, tries a few batches on a copy of the model, and writes nothing. The time to
    compare with baselines is not counted.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
        MissingExtraError: LoRA needs the package peft, which is not installed.
        ProcessError: One of several processes is gone.
    """

    table: Annotated[
        str | Path,
        Option("Learn from this table: CSV, TSV or Parquet, one row for each sequence."),
        Reads("table"),
    ]
    output: Annotated[
        str | Path,
        Option(
            "Write the predictor, its log and its report into this folder.",
            short="-o",
            metavar="FOLDER",
            group="Output",
        ),
        Writes("run"),
    ]
    _: KW_ONLY
    target: Annotated[
        str | Sequence[str],
        Option(
            "Learn to predict this column. Repeat it for several columns of numbers, or of 0 and 1.",
            flag="--target",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ]
    recipe: Annotated[
        FinetuneRecipe | None,
        Option("Start from these settings. By default they are those of a probe."),
        ConnectsTo("log"),
    ] = None
    model: options.ModelName = None
    method: Annotated[
        FinetuneMethod | None,
        Option(
            "Train this part of the model: probe fits a head on vectors that are computed once, lora trains "
            f"adapters in the encoder, full trains all weights. {options.BY_RECIPE.format('probe')}",
            group="Training",
        ),
        NONE,
    ] = None
    column: options.TableColumn = None
    id_column: options.IdColumn = None
    split_column: Annotated[
        str | None,
        Option(
            "Read from this column which rows are train, validation and test. By default some sequences are "
            "held out at random.",
            metavar="COLUMN",
            group="Split",
        ),
        NONE,
    ] = None
    validation_column: Annotated[
        str | None,
        Option(
            "Validate on the training rows in which this column is true, as in FLIP. By default the split "
            "names them, else they are drawn at random.",
            metavar="COLUMN",
            group="Split",
        ),
        NONE,
    ] = None
    task: Annotated[
        AskedTask | None,
        Option(
            "Choose what is predicted: regression, classification, multi-label or per-residue. auto "
            "decides by the cells of the target. " + options.BY_RECIPE.format("auto"),
            metavar="TASK",
            group="Training",
        ),
        NONE,
    ] = None
    gaps: options.AtGaps = "drop"
    modality: options.As = None
    unknown_letters: Annotated[
        str,
        Option(
            "Leave out the residues that these letters mark in a label, such as X: their class is not known. "
            "By default every letter is a class.",
            metavar="TEXT",
            group="Input",
        ),
        NONE,
    ] = ""
    pool: Annotated[
        HeadPool | None,
        Option(
            "Combine the vectors of a sequence into one for the head: mean, cls, max (of a probe only) or "
            "attention (learned, not of a probe). " + options.BY_RECIPE.format("mean"),
            metavar="WORD",
            group="Training",
        ),
        NONE,
    ] = None
    n_folds: Annotated[
        int | None,
        Option(
            "Train this many folds of a cross-validation; 0 does none. " + options.BY_RECIPE.format("0"),
            flag="--folds",
            group="Training",
        ),
        NONE,
    ] = None
    n_members: Annotated[
        int | None,
        Option(
            "Train an ensemble of this many members, each with a seed of its own. "
            + options.BY_RECIPE.format("1"),
            flag="--members",
            group="Training",
        ),
        NONE,
    ] = None
    lora_rank: Annotated[
        int | None,
        Option(
            "Give the LoRA adapters this rank: a higher rank learns more and takes more memory. "
            + options.BY_RECIPE.format("8"),
            group="Training",
        ),
        NONE,
    ] = None
    n_steps: Annotated[
        int | None,
        Option(
            "Train for at most this many steps of the optimiser. " + options.BY_RECIPE.format("1,000"),
            flag="--steps",
            group="Training",
        ),
        NONE,
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            "Use this learning rate for the head at its peak. " + options.BY_RECIPE.format("0.001"),
            group="Training",
        ),
        NONE,
    ] = None
    tokens_per_batch: options.TrainingTokensPerBatch = None
    batches_per_step: options.BatchesPerStep = None
    max_length: options.MaxLength = None
    window: Annotated[
        int | None,
        Option(
            f"{options.WINDOW} 0 runs all whole. {options.BY_RECIPE.format('0')}",
            group="Model",
        ),
        NONE,
    ] = None
    seed: options.TrainingSeed = None
    devices: options.Devices = None
    config: options.Config = None
    sets: options.Sets = ()
    dtype: options.Dtype = "auto"
    device: options.Device = "auto"
    on_error: options.AtFault = "stop"
    resume: options.ResumeRun = False
    quiet: options.Quiet = True

    def settled(self) -> FinetuneRecipe:
        """Return the recipe of the run: the given one, changed by ``config``, the options and ``sets``."""
        from biofm.api.configuration import read_configuration, settings_of  # brings torch

        settings = settings_of(self, FinetuneRecipe)
        return read_configuration(
            "finetune", FinetuneRecipe, self.config, settings, self.sets, start=self.recipe
        )

    def request(self) -> Request:
        return self._beginning(self.settled())

    def estimate(self) -> "FinetuneEstimate":
        """Predict the time, memory and disk space of ``run``, and write nothing.

        Of several processes one estimates, and the others end here.

        Raises:
            InputError, ModelError, OptionError: The message says what is wrong, where, and what to do.
            MissingExtraError: LoRA needs the package peft, which is not installed.
        """
        from biofm.gate import ask  # these bring torch
        from biofm.inference import choose_compute
        from biofm.training.finetuning import estimate_finetuning
        from biofm.training.processes import leave_to_main

        refuse_resume(self.resume)
        leave_to_main()
        path = self._checked_table()
        recipe = self.settled()
        labels, notices = self._labels(recipe), Counter[str]()
        model = str(self._model)
        with ask(self.asking(reads={"table": (path,)}, model=model, is_estimate=True)) as permit:
            base = _base_of(self._model)
            source = self._read(permit.reader("table"), base, labels, notices)
            compute = choose_compute(self.device, self.dtype)
            found = estimate_finetuning(source, base, recipe, compute, notices)
            return replace(found, notices=with_demonstration(found.notices, base.name))

    def run(self, progress: ProgressSink = SILENT) -> "FinetuneSummary":
        from biofm.gate import ask  # these bring torch
        from biofm.inference import choose_compute
        from biofm.training.finetuning import members_before, run_finetuning
        from biofm.training.folder import hold_run, removed_if_left_empty
        from biofm.training.processes import rendezvous

        recipe = self.settled()
        labels, notices = self._labels(recipe), Counter[str]()
        n_before = members_before(Path(self.output))
        crew = rendezvous(recipe)
        role = BEGUN if crew.is_main else JOINED
        with ExitStack() as opened:
            opened.enter_context(removed_if_left_empty(Path(self.output)) if crew.is_main else nullcontext())
            with crew.main_first():
                request = self._beginning(recipe) if crew.is_main else self._joining()
                permit = opened.enter_context(ask(request))
                opened.enter_context(hold_run(permit.folder(role)) if crew.is_main else nullcontext())
                compute, base = choose_compute(self.device, self.dtype), _base_of(self._model)
                source = self._read(permit.reader("table"), base, labels, notices)
                permit.let_go("table")
                bar = opened.enter_context((progress if crew.is_main else SILENT).stages())
            place = permit.folder(role)
            summary = run_finetuning(source, base, recipe, compute, place, notices, bar.update)
        crew.dismiss()
        assert summary is not None, "only the first process comes here"
        shown = {**summary.notices, **self._resumed(n_before, summary)}
        return replace(summary, notices=with_demonstration(shown, base.name))

    def _resumed(self, before: tuple[int, int] | None, summary: "FinetuneSummary") -> dict[str, int]:
        """Return the notice of how much a run took over, unless it had ended or was not to be resumed."""
        from biofm.api.finished import describe_resumed  # these bring torch
        from biofm.training.folder import HAD_ENDED

        if not self.resume or HAD_ENDED in summary.notices:
            return {}
        n_members, n_steps = before or (None, 0)
        notice = describe_resumed(n_members, len(summary.members), ("member", "members"), "trained")
        if n_steps:
            notice += f" The next one had made {format_count(n_steps, 'step')}."
        return {notice: 1}

    @property
    def _model(self) -> str | Path:
        return model_for(self.model, self.modality, self.table)

    def _labels(self, recipe: FinetuneRecipe) -> "LabelOptions":
        from biofm.evaluation.supervised import LabelOptions  # brings torch

        return LabelOptions(
            targets=(self.target,) if isinstance(self.target, str) else tuple(self.target),
            column=self.column,
            id_column=self.id_column,
            split_column=self.split_column,
            validation_column=self.validation_column,
            task=recipe.task,
            unknown_letters=self.unknown_letters,
            gaps=self.gaps,
            modality=self.modality,
        )

    def _checked_table(self) -> Path:
        """Return the path of the table, or raise InputError for standard input: the table is read twice."""
        check_choice("--on-error", self.on_error, ON_ERROR)
        path = path_of(self.table)
        if path == STANDARD_STREAM:
            what = "the table is read several times and cannot come through a pipe"
            raise InputError(what, where="standard input", remedy="Name a file")
        return path

    def _beginning(self, recipe: FinetuneRecipe) -> Request:
        """Return the request of the first process, which starts or resumes the run.

        Raises:
            OutputError: The folder is not empty and the run is not to be resumed.
        """
        from biofm.training.folder import refuse_used
        from biofm.training.weights_and_biases import hosts_of

        path, folder = self._checked_table(), Path(self.output)
        if not self.resume:
            refuse_used(folder)
        writes = {BEGUN: Target(path=folder, kind="directory", overwrite=self.resume)}
        hosts, model = hosts_of("finetune", recipe), str(self._model)
        return self.asking(reads={"table": (path,)}, writes=writes, hosts=hosts, model=model)

    def _joining(self) -> Request:
        """Return the request of another process, which joins the run that the first one started."""
        writes = {JOINED: Target(path=Path(self.output), kind="directory", overwrite=True)}
        return self.asking(reads={"table": (path_of(self.table),)}, writes=writes, model=str(self._model))

    def _read(
        self, stream: BinaryIO, base: "Base", labels: "LabelOptions", notices: Counter[str]
    ) -> "Source":
        """Return the rows of the table with their labels."""
        from biofm.core import sha256_of  # these bring torch
        from biofm.evaluation.supervised import read_labelled
        from biofm.training.finetuning import Source

        sha256, modality = sha256_of([stream]), base.checkpoint.tokenizer.modality
        skips = self.on_error == "skip"
        with input_errors():
            found = read_labelled(stream, str(self.table), modality, labels, notices, skip_faulty=skips)
        return Source(found, labels, sha256)


def _base_of(model: str | Path) -> "Base":
    """Load the model on the CPU, in the dtype of its stored weights.

    A path is kept as an absolute one, so that the predictor finds it from any folder.
    """
    from biofm.models import bundled_models, locate  # these bring torch
    from biofm.training.finetuning import Base

    loaded = load(model, device="cpu")
    is_path = locate(str(model)).path is not None and str(model) not in bundled_models()
    name = str(Path(model).absolute()) if is_path else loaded.info.name
    return Base(loaded.checkpoint, name, loaded.info.sha256)


finetune = verb(Finetune)
