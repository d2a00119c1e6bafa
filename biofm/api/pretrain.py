"""The verb ``pretrain``: build a language model from sequences."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import paths_of, refuse_resume
from biofm.api.loading import load, with_demonstration
from biofm.core.choices import ObjectiveName
from biofm.core.environment import __version__
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, ConnectsTo, Reads, Request, Target, Writes
from biofm.training import PretrainRecipe, find_recipe

if TYPE_CHECKING:
    from biofm_datasets.store import Store

    from biofm.corpus import Reading
    from biofm.models import Checkpoint
    from biofm.training.estimating import TrainingEstimate
    from biofm.training.summary import PretrainSummary


@dataclass(frozen=True, slots=True)
class Pretrain(Verb["PretrainSummary"]):
    """Train a language model on sequences, and compare it with baselines on held-out sequences.

    ``inputs`` are files, which are prepared in the run's folder, or one store that ``prepare`` wrote. The run
    trains a new model of ``size``, or continues the model ``start_from``. Everything is written into the
    folder ``output``; ``resume`` continues a run that was interrupted there.

    The recipe says how to train (``biofm.training.PretrainRecipe``). It starts from ``recipe``, and is
    changed by the TOML file ``config``, then by the options here that are settings of it, then by ``sets``.

    Where several processes train together, each runs this verb. It returns in the first process and ends the
    others.

    ``Pretrain(...).estimate()`` predicts the time, memory and disk space of a run, and how large its batches
    may be. It reads some of the data, tries a few steps on a copy of the model, and writes nothing. The time
    to prepare files and to judge the model at the end is not counted. Sequences of files that will be held
    out, and their relatives, are counted as if they were trained on.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
        ProcessError: One of several processes is gone.
    """

    inputs: options.Inputs
    output: Annotated[
        str | Path,
        Option(
            "Write the model, its log and its checkpoints into this folder.",
            short="-o",
            metavar="FOLDER",
            group="Output",
        ),
        Writes("run"),
    ]
    recipe: Annotated[
        str | PretrainRecipe | None,
        Option(
            "Start from the settings with which biofm trained a model that it ships, such as protein-nano; "
            "in Python also from a PretrainRecipe. By default it starts from the defaults of the options.",
            metavar="NAME",
            group="Training",
        ),
        ConnectsTo("log"),
    ] = None
    _: KW_ONLY
    n_steps: Annotated[
        int | None,
        Option(
            "Train for this many steps of the optimiser; 0 judges a model without training it. By default as "
            "the recipe says; without a recipe it must be given.",
            flag="--steps",
            group="Training",
        ),
        NONE,
    ] = None
    size: Annotated[
        str,
        Option("Make a new model of this size: nano, small or medium.", metavar="SIZE", group="Model"),
        NONE,
    ] = "nano"
    start_from: Annotated[
        str | Path | None,
        Option(
            f"Continue to train this model: {options.A_MODEL}. By default a new model is trained.",
            metavar="MODEL",
            group="Model",
        ),
        Reads("model"),
        ConnectsTo("hub"),
    ] = None
    objective: Annotated[
        ObjectiveName | None,
        Option(
            "Learn to predict hidden units, such as residues (masked), or the next unit (causal). "
            + options.BY_RECIPE.format("masked"),
            group="Training",
        ),
        NONE,
    ] = None
    tokens_per_batch: options.TrainingTokensPerBatch = None
    batches_per_step: options.BatchesPerStep = None
    max_length: options.MaxLength = None
    masked_share: Annotated[
        float | None,
        Option(
            "Predict this share of the units, between 0 and 1. " + options.BY_RECIPE.format("0.25"),
            flag="--masked",
            group="Training",
        ),
        NONE,
    ] = None
    learning_rate: Annotated[
        float | None,
        Option(
            "Use this learning rate at its peak. " + options.BY_RECIPE.format("0.004"),
            group="Training",
        ),
        NONE,
    ] = None
    n_warmup: Annotated[
        int | None,
        Option(
            "Raise the learning rate to its peak over this many steps. " + options.BY_RECIPE.format("100"),
            flag="--warmup",
            group="Training",
        ),
        NONE,
    ] = None
    n_held_out: Annotated[
        int | None,
        Option(
            "Hold out this many sequences of each file to judge the model, and train on none that resemble "
            "them. " + options.BY_RECIPE.format("500"),
            flag="--held-out",
            group="Split",
        ),
        NONE,
    ] = None
    seed: options.TrainingSeed = None
    checkpoint_every: Annotated[
        int | None,
        Option(
            "Write a checkpoint after every so many steps. " + options.BY_RECIPE.format("100"),
            group="Training",
        ),
        NONE,
    ] = None
    log_every: Annotated[
        int | None,
        Option(
            "Write a row of metrics.csv after every so many steps. " + options.BY_RECIPE.format("10"),
            group="Training",
        ),
        NONE,
    ] = None
    devices: options.Devices = None
    config: options.ConfigOrOwn = None
    sets: options.Sets = ()
    dtype: options.Dtype = "auto"
    device: options.Device = "auto"
    column: options.Column = None
    gaps: options.AtGaps = "drop"
    modality: Annotated[
        str | None,
        Option(
            f"Name what the inputs hold and a new model reads, such as protein; {options.LOOKALIKES}. By "
            "default the store or the files' suffix decides, else it is protein, and such sequences are "
            "refused.",
            flag="--as",
            metavar="NAME",
            group="Input",
        ),
        NONE,
    ] = None
    on_error: options.AtFault = "stop"
    resume: options.ResumeRun = False
    quiet: options.Quiet = True

    def settled(self) -> PretrainRecipe:
        """Return the recipe that all given options make.

        A run that is resumed reads its own recipe as its ``config``, unless a PretrainRecipe was given; its
        own recipe wins over a recipe's name.

        Raises:
            InputError, OptionError: A setting is unknown or out of range, or a file cannot be read.
        """
        from biofm.api.configuration import read_configuration, settings_of  # these bring torch
        from biofm.training.processes import main_speaks

        with main_speaks():
            start = find_recipe(self.recipe) if isinstance(self.recipe, str) else self.recipe
        is_whole = isinstance(self.recipe, PretrainRecipe)
        return read_configuration(
            "pretrain",
            PretrainRecipe,
            self.config,
            settings_of(self, PretrainRecipe),
            self.sets,
            start=start,
            resumed=self.output if self.resume and not is_whole else None,
        )

    def request(self) -> Request:
        return self._beginning(self.settled())

    def estimate(self) -> "TrainingEstimate":
        """Predict the time, memory and disk space of ``run``, and write nothing.

        Of several processes one estimates, and the others end here.

        Raises:
            InputError, ModelError, OptionError: The message says what is wrong, where, and what to do.
        """
        from biofm.corpus import modality_of  # these bring torch and lightning
        from biofm.gate import ask
        from biofm.inference import choose_compute
        from biofm.training.data import PackedData
        from biofm.training.estimating import estimate_training, sample_files, sample_store
        from biofm.training.processes import leave_to_main
        from biofm.training.run import check_model, objective_of
        from biofm.training.run_data import files_of_data

        recipe = self.settled()
        refuse_resume(self.resume)
        leave_to_main()
        compute, paths = choose_compute(self.device, self.dtype), paths_of(self.inputs)
        files, reading = files_of_data(paths, self.modality), self._reading(recipe)
        with ask(self.asking(reads={"input": files}, model=self._name, is_estimate=True)) as permit:
            checkpoint, _ = self._begin_with(recipe, modality_of(paths, self.modality))
            check_model(checkpoint, recipe, compute)
            if paths[0].is_dir():
                sample = sample_store(paths[0], checkpoint, recipe)
            else:
                sample = sample_files(permit.readers("input"), paths, reading, checkpoint, recipe)
            objective = objective_of(checkpoint, recipe)
            data = PackedData(sample.tokens, sample.train, sample.validation, objective, recipe)
            module = checkpoint.module.requires_grad_()
            module.contacts = None
            found = estimate_training(module, objective, data, recipe, compute)
        return replace(
            found,
            n_train_tokens=round(found.n_train_tokens * sample.n_times),
            output_bytes={**found.output_bytes, **({"data": sample.n_bytes} if sample.n_bytes else {})},
        )

    def run(self, progress: ProgressSink = SILENT) -> "PretrainSummary":
        from biofm.corpus import modality_of  # these bring torch and lightning
        from biofm.gate import ask
        from biofm.inference import choose_compute
        from biofm.training.folder import (
            begin_run,
            hold_run,
            removed_if_left_empty,
            removed_if_refused,
            steps_before,
        )
        from biofm.training.processes import rendezvous
        from biofm.training.run import PretrainRun, check_model, run_pretraining
        from biofm.training.run_data import check_store, open_data

        recipe, paths, folder = self.settled(), paths_of(self.inputs), Path(self.output)
        n_before = steps_before(folder)
        crew = rendezvous(recipe)
        with ExitStack() as opened:
            opened.enter_context(removed_if_left_empty(folder) if crew.is_main else nullcontext())
            with crew.main_first():
                compute = choose_compute(self.device, self.dtype)
                request = self._beginning(recipe) if crew.is_main else self._joining()
                permit = opened.enter_context(ask(request))
                if crew.is_main:
                    opened.enter_context(hold_run(permit.folder("run")))
                bar = opened.enter_context((progress if crew.is_main else SILENT).stages())
                with removed_if_refused(folder) if crew.is_main else nullcontext():
                    checkpoint, sha256 = self._begin_with(recipe, modality_of(paths, self.modality))
                    check_model(checkpoint, recipe, compute)
                    if crew.is_main:
                        begin_run(permit.folder("run"), recipe)
                    store = open_data(
                        paths, permit, self._reading(recipe), checkpoint.tokenizer, folder, bar.update,
                        is_main=crew.is_main,
                    )  # fmt: skip
                    if crew.is_main:
                        check_store(store, checkpoint.tokenizer, recipe)
                        self._remember(checkpoint, sha256, store)
            run = PretrainRun(
                store=store, checkpoint=checkpoint, recipe=recipe, compute=compute, folder=folder,
                progress=bar.update,
            )  # fmt: skip
            summary = run_pretraining(run)
        crew.dismiss()
        assert summary is not None, "only the first process comes here"
        notices = {**summary.notices, **self._resumed(n_before, recipe.n_steps, summary.notices)}
        return replace(summary, notices=with_demonstration(notices, str(self.start_from)))

    def _resumed(self, n_before: int | None, n_steps: int, notices: Mapping[str, int]) -> dict[str, int]:
        """Return the notice of how much a run took over, unless it had ended or was not to be resumed."""
        from biofm.api.finished import describe_resumed  # these bring torch
        from biofm.training.folder import HAD_ENDED

        if not self.resume or HAD_ENDED in notices:
            return {}
        return {describe_resumed(n_before, n_steps, ("step", "steps"), "made"): 1}

    @property
    def _name(self) -> str:
        return str(self.start_from) if self.start_from else f"a new {self.size}"

    def _reading(self, recipe: PretrainRecipe) -> "Reading":
        from biofm.training.run_data import reading_of  # brings numpy

        return reading_of(
            recipe, column=self.column, gaps=self.gaps, on_error=self.on_error, modality=self.modality
        )

    def _beginning(self, recipe: PretrainRecipe) -> Request:
        """Return the request of the first process, which starts or resumes the run."""
        from biofm.training.folder import refuse_used  # these bring numpy
        from biofm.training.run_data import files_of_data
        from biofm.training.weights_and_biases import hosts_of

        files, folder = files_of_data(paths_of(self.inputs), self.modality), Path(self.output)
        if not self.resume:
            refuse_used(folder)
        writes = {"run": Target(path=folder, kind="directory", overwrite=self.resume)}
        hosts = hosts_of("pretrain", recipe)
        return self.asking(reads={"input": files}, writes=writes, hosts=hosts, model=self._name)

    def _joining(self) -> Request:
        """Return the request of another process, which joins the run that the first one started.

        It reads the store that was prepared. Only the first process contacts other hosts.
        """
        from biofm.training.run_data import files_of_data, place_of_data  # bring numpy

        folder = Path(self.output)
        files = files_of_data([place_of_data(paths_of(self.inputs), folder)])
        writes = {"joined run": Target(path=folder, kind="directory", overwrite=True)}
        return self.asking(reads={"input": files}, writes=writes, model=self._name)

    def _begin_with(self, recipe: PretrainRecipe, modality: str | None) -> "tuple[Checkpoint, str]":
        """Return the model to train and the SHA-256 of its files, which is "" for a new model."""
        from biofm.models import modality_named, new_model  # bring torch

        if self.start_from:
            model = load(self.start_from, device=self.device)
            return model.checkpoint, model.info.sha256
        checkpoint = new_model(
            self.size,
            trained_length=recipe.max_length,
            seed=recipe.seed,
            causal=recipe.objective == "causal",
            modality=modality_named(modality).name,
        )
        return checkpoint, ""

    def _remember(self, checkpoint: "Checkpoint", sha256: str, store: "Store") -> None:
        """Write into the run's folder what else decides the run: its first model and its data."""
        from biofm.training.folder import remember

        facts = {
            "encoder": asdict(checkpoint.module.config),
            "start_sha256": sha256,
            "data_sha256": store.sha256,
        }
        notes = {"model": self._name, "data": str(store.folder.resolve()), "biofm": __version__}
        remember(Path(self.output), facts, notes)


pretrain = verb(Pretrain)
