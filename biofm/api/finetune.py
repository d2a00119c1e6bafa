"""``finetune``: a model taught by a table."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import STANDARD_STREAM, path_of, refuse_resume
from biofm.api.loading import load, model_for
from biofm.core.choices import ON_ERROR, AskedTask, FinetuneMethod, HeadPool, check_choice
from biofm.core.errors import InputError, OutputError, input_errors
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Contacts, Reads, Request, Target, Writes
from biofm.training import FinetuneRecipe

if TYPE_CHECKING:
    from biofm.evaluation.supervised import LabelOptions
    from biofm.training.finetuning import Base, FinetuneEstimate, FinetuneSummary, Source

BEGUN, JOINED = "run", "joined run"  # a folder's role in the first process, and in the others


@dataclass(frozen=True, slots=True)
class Finetune(Verb["FinetuneSummary"]):
    """Teach a model a column of a table: a probe, adapters or all weights, judged beside baselines.

    ``target`` may name several columns, of numbers or of 0 and 1. Without a ``split_column`` the recipe's
    share of the sequences is held out at random. Where residues have labels, these go with the gaps that are
    dropped.

    Everything is written into the folder ``output``; its ``predictor`` is what ``biofm.predict`` takes.
    ``resume`` goes on with a run that was interrupted there.

    The recipe says how to train (``biofm.training.FinetuneRecipe``, by default a probe): the given one,
    changed by the TOML file ``config``, by the settings that are options here, and by ``sets``; the later of
    these count.

    Where several processes train together, each runs this. It returns in the first one; the others end here.

    ``Finetune(...).estimate()`` says what a run will take in time, memory and space on the disk, and how
    large its batches may be. It reads the table, tries a few batches on a copy of the model, and writes
    nothing. What is judged and fitted beside the model is not counted.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    MissingExtraError: LoRA without peft. ProcessError: one of several processes is gone.
    """

    table: Annotated[
        str | Path, Option("The table: CSV, TSV or Parquet, a row for each sequence."), Reads("table")
    ]
    output: Annotated[
        str | Path,
        Option("The folder for the predictor, its log and its judgement.", short="-o"),
        Writes("run"),
    ]
    _: KW_ONLY
    target: Annotated[
        str | Sequence[str],
        Option("The column to predict; repeat it for several, of numbers or of 0 and 1.", flag="--target"),
        NONE,
    ]
    recipe: Annotated[FinetuneRecipe | None, Option("The settings to start from."), Contacts("log")] = None
    model: options.ModelName = None
    method: Annotated[
        FinetuneMethod | None,
        Option(
            "probe fits a head on vectors that are made once, lora trains adapters in the encoder, full all "
            "its weights. By default a probe."
        ),
        NONE,
    ] = None
    column: options.Column = None
    id_column: options.IdColumn = None
    split_column: Annotated[
        str | None,
        Option(
            "The column that says train, validation or test. Without one, some sequences are held out at "
            "random."
        ),
        NONE,
    ] = None
    validation_column: Annotated[
        str | None,
        Option("The column that is true in those training rows that validate, as in FLIP."),
        NONE,
    ] = None
    task: Annotated[
        AskedTask | None,
        Option("What is predicted. auto, the default: what the cells of the target speak for."),
        NONE,
    ] = None
    gaps: options.AtGaps = "drop"
    modality: options.As = None
    unknown_letters: Annotated[
        str, Option("The letters of a label that say that nothing is known of a residue."), NONE
    ] = ""
    pool: Annotated[
        HeadPool | None,
        Option("How the vectors of a sequence become the one that the head sees. By default their mean."),
        NONE,
    ] = None
    n_folds: Annotated[
        int | None,
        Option("How many folds of cross-validation are trained; 0 for none.", flag="--folds"),
        NONE,
    ] = None
    n_members: Annotated[
        int | None,
        Option("How many members an ensemble has, each trained with a seed of its own.", flag="--members"),
        NONE,
    ] = None
    lora_rank: Annotated[
        int | None,
        Option("The rank of the LoRA adapters: higher learns more and takes more memory. By default 8."),
        NONE,
    ] = None
    n_steps: Annotated[
        int | None, Option("How many steps the optimiser makes at most.", flag="--steps"), NONE
    ] = None
    learning_rate: Annotated[float | None, Option("The learning rate of the head at its peak."), NONE] = None
    tokens_per_batch: Annotated[
        int | None, Option("How many tokens a batch of training holds at most."), NONE
    ] = None
    batches_per_step: options.BatchesPerStep = None
    max_length: options.MaxLength = None
    window: Annotated[
        int | None,
        Option("Run longer sequences by windows of so many units, which overlap by half; 0 runs all whole."),
        NONE,
    ] = None
    seed: Annotated[
        int | None,
        Option("The seed of every random choice: split, folds, initial weights, order and crops."),
        NONE,
    ] = None
    devices: options.Devices = None
    config: options.Config = None
    sets: options.Sets = ()
    dtype: options.Dtype = "auto"
    device: options.Device = "auto"
    on_error: options.AtFault = "stop"
    resume: options.ResumeRun = False
    quiet: options.Quiet = True

    def settled(self) -> FinetuneRecipe:
        """The recipe: the given one, changed by the configuration file, the options and ``sets``, in this
        order.
        """
        from biofm.api.configuration import read_configuration, settings_of  # brings torch

        settings = settings_of(self, FinetuneRecipe)
        return read_configuration(
            "finetune", FinetuneRecipe, self.config, settings, self.sets, start=self.recipe
        )

    def request(self) -> Request:
        return self._beginning(self.settled())

    def estimate(self) -> "FinetuneEstimate":
        """What ``run`` will take. One of several processes estimates; the others end here.

        Raises InputError, ModelError, OptionError. MissingExtraError: LoRA without peft.
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
            return estimate_finetuning(source, base, recipe, compute, notices)

    def run(self, progress: ProgressSink = SILENT) -> "FinetuneSummary":
        from biofm.gate import ask  # these bring torch
        from biofm.inference import choose_compute
        from biofm.training.finetuning import run_finetuning
        from biofm.training.folder import hold_run
        from biofm.training.processes import rendezvous

        recipe = self.settled()
        labels, notices = self._labels(recipe), Counter[str]()
        crew = rendezvous(recipe)
        role = BEGUN if crew.is_main else JOINED
        with ExitStack() as opened:
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
        assert summary is not None, "the others ended"
        return summary

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
        """The path of the table. Raises InputError for standard input, because it is read twice."""
        check_choice("--on-error", self.on_error, ON_ERROR)
        path = path_of(self.table)
        if path == STANDARD_STREAM:
            raise InputError("a table cannot come through a pipe", where="-", remedy="Name a file")
        return path

    def _beginning(self, recipe: FinetuneRecipe) -> Request:
        """The request of the first process, which begins the run or resumes it.

        Raises OutputError where the folder is not empty and the run is not to be resumed.
        """
        from biofm.training.weights_and_biases import hosts_of

        path, folder = self._checked_table(), Path(self.output)
        if not self.resume and any(folder.glob("*")):
            remedy = "Pass --resume to go on with the run in it, or choose another folder"
            raise OutputError("the folder is not empty", where=str(folder), remedy=remedy)
        writes = {BEGUN: Target(path=folder, kind="directory", overwrite=self.resume)}
        contacts, model = hosts_of(recipe), str(self._model)
        return self.asking(reads={"table": (path,)}, writes=writes, contacts=contacts, model=model)

    def _joining(self) -> Request:
        """The request of another process, which joins the run that the first one began."""
        writes = {JOINED: Target(path=Path(self.output), kind="directory", overwrite=True)}
        return self.asking(reads={"table": (path_of(self.table),)}, writes=writes, model=str(self._model))

    def _read(
        self, stream: BinaryIO, base: "Base", labels: "LabelOptions", notices: Counter[str]
    ) -> "Source":
        from biofm.core import sha256_of  # these bring torch
        from biofm.evaluation.supervised import read_labelled
        from biofm.training.finetuning import Source

        sha256, modality = sha256_of([stream]), base.checkpoint.tokenizer.modality
        skips = self.on_error == "skip"
        with input_errors():
            found = read_labelled(stream, str(self.table), modality, labels, notices, skip_faulty=skips)
        return Source(found, labels, sha256)


def _base_of(model: str | Path) -> "Base":
    """Load the model on the CPU, in the dtype of its stored weights. A path is kept as an absolute one, so
    that the predictor finds it from any folder.
    """
    from biofm.models import bundled_models, locate  # these bring torch
    from biofm.training.finetuning import Base

    loaded = load(model, device="cpu")
    is_path = locate(str(model)).path is not None and str(model) not in bundled_models()
    name = str(Path(model).absolute()) if is_path else loaded.info.name
    return Base(loaded.checkpoint, name, loaded.info.sha256)


finetune = verb(Finetune)
