"""``finetune``: a model taught by a table."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from biofm_datasets.protein import Gaps

from biofm.api.configuration import read_configuration
from biofm.api.model import DEFAULT_MODEL, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.core import StageProgress, sha256_of
from biofm.core.choices import ON_ERROR, check_choice
from biofm.core.errors import InputError, OutputError, input_errors
from biofm.evaluation.supervised import LabelOptions, read_labelled
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import choose_compute
from biofm.models import bundled_models, locate
from biofm.policy import Request, Target
from biofm.training import hold_run, hosts_of, meet
from biofm.training.finetuning import Base, FinetuneRecipe, FinetuneSummary, Source, run_finetuning

BEGUN, JOINED = "run", "joined run"  # a folder's role in the first process, and in the others


def finetune(
    table: str | Path,
    output: str | Path,
    *,
    target: str | Sequence[str],
    recipe: FinetuneRecipe | None = None,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    model: str | Path = DEFAULT_MODEL,
    column: str | None = None,
    id_column: str | None = None,
    split_column: str | None = None,
    validation_column: str | None = None,
    unknown_letters: str = "",
    gaps: Gaps = "drop",
    modality: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    on_error: str = "stop",
    resume: bool = False,
    quiet: bool = True,
    **settings: Any,
) -> FinetuneSummary:
    """Teach a model the column ``target`` of a table (CSV, TSV, Parquet) and judge it beside baselines.

    ``target`` may name several columns, of numbers or of 0 and 1. The cells of ``split_column`` say train,
    validation or test; in the style of FLIP ``validation_column`` is true in those rows of the training set
    that validate. Without a split the recipe's share of the sequences is held out at random. Letters of
    ``unknown_letters`` say that nothing is known of a residue. ``gaps`` of alignments are to "drop", with
    their letters where residues have labels, to "keep" as tokens, or to "refuse".

    Everything is written into the folder ``output``; its ``predictor`` is what ``biofm.predict`` takes.
    ``resume`` goes on with a run that was interrupted there.

    How to train says a ``recipe``, or the fields of one: in the TOML file ``config``, as keywords
    (``method="lora"``), as texts ``name=value`` in ``sets``; the later of these count. By default it is a
    probe.

    Where several processes train together, each runs this. It returns in the first one; the others end here.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    MissingExtraError: LoRA without peft. ProcessError: one of several processes is gone.
    """
    path, folder = path_of(table), Path(output)
    recipe = recipe_of(recipe, config, settings, sets)
    options = LabelOptions(
        targets=(target,) if isinstance(target, str) else tuple(target), column=column,
        id_column=id_column, split_column=split_column, validation_column=validation_column,
        task=recipe.task, unknown_letters=unknown_letters, gaps=gaps, modality=modality,
    )  # fmt: skip
    notices: Counter[str] = Counter()
    crew = meet(recipe)
    role = BEGUN if crew.is_main else JOINED
    with ExitStack() as opened:
        with crew.main_first():
            if crew.is_main:
                check_reading(path, on_error)
                _check_output(folder, resume)
            contacts = hosts_of(recipe) if crew.is_main else ()
            permit = opened.enter_context(ask(_request(path, folder, model, resume, role, contacts)))
            opened.enter_context(hold_run(permit.folder(role)) if crew.is_main else nullcontext())
            compute, base = choose_compute(device, dtype), base_of(model)
            source = read_source(permit.reader("table"), path, base, options, notices, on_error)
            permit.let_go("table")
            bar = opened.enter_context(StageProgress(quiet=quiet or not crew.is_main))
        place = permit.folder(role)
        summary = run_finetuning(source, base, recipe, compute, place, notices, bar.update)
    crew.dismiss()
    assert summary is not None, "the others ended"
    return summary


def _request(
    table: Path, folder: Path, model: str | Path, resume: bool, role: str, contacts: tuple[str, ...]
) -> Request:
    target = Target(path=folder, kind="directory", overwrite=resume or role == JOINED)
    reads, writes = {"table": (table,)}, {role: target}
    return request_of("finetune", reads=reads, writes=writes, contacts=contacts, model=str(model))


def recipe_of(
    recipe: FinetuneRecipe | None,
    config: str | Path | None,
    settings: Mapping[str, Any],
    sets: Sequence[str],
) -> FinetuneRecipe:
    """The given one, or the one that the rest makes up."""
    known = {field.name for field in fields(FinetuneRecipe)}
    if unknown := sorted(settings.keys() - known):
        raise TypeError(f"finetune() got an unexpected keyword argument {unknown[0]!r}")
    return recipe or read_configuration("finetune", FinetuneRecipe, config, settings, sets)


def check_reading(table: Path, on_error: str) -> None:
    """What the gate cannot know: that the table is read twice."""
    check_choice("--on-error", on_error, ON_ERROR)
    if table == STANDARD_INPUT:
        raise InputError("a table cannot come through a pipe", where="-", remedy="Name a file")


def read_source(
    stream: BinaryIO,
    table: Path,
    base: Base,
    options: LabelOptions,
    notices: Counter[str],
    on_error: str,
) -> Source:
    sha256 = sha256_of([stream])
    with input_errors():
        modality = base.checkpoint.tokenizer.modality
        found = read_labelled(stream, str(table), modality, options, notices, skip_faulty=on_error == "skip")
    return Source(found, options, sha256)


def base_of(model: str | Path) -> Base:
    """On the CPU in its stored weights, which are all that is kept of it. A path is remembered as an absolute
    one, so that the predictor finds it from any folder.
    """
    loaded = load(model, device="cpu")
    is_path = locate(str(model)).path is not None and str(model) not in bundled_models()
    name = str(Path(model).absolute()) if is_path else loaded.info.name
    return Base(loaded.checkpoint, name, loaded.info.sha256)


def _check_output(folder: Path, resume: bool) -> None:
    if not resume and any(folder.glob("*")):
        remedy = "Pass --resume to go on with the run in it, or choose another folder"
        raise OutputError("the folder is not empty", where=str(folder), remedy=remedy)
