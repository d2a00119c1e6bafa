"""``pretrain``: a model of one's own."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from biofm_datasets.protein import Gaps
from biofm_datasets.store import Store

from biofm.api.model import load
from biofm.api.paths import paths_of
from biofm.api.request import request_of
from biofm.core import StageProgress, __version__
from biofm.core.errors import OutputError
from biofm.corpus.inputs import modality_of
from biofm.gate import ask
from biofm.inference import choose_compute
from biofm.models import Checkpoint, modality_named, new_model
from biofm.policy import Request, Target
from biofm.training import (
    PretrainRecipe,
    PretrainSummary,
    begin_run,
    check_model,
    hold_run,
    hosts_of,
    meet,
    remember,
    run_pretraining,
)
from biofm.training.run_data import files_of_data, open_data, place_of_data, reading_of


def pretrain(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    recipe: PretrainRecipe,
    *,
    size: str = "nano",
    start_from: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    resume: bool = False,
    quiet: bool = True,
) -> PretrainSummary:
    """Train a language model of proteins on the proteins of ``inputs``, and judge it on held-out ones.

    ``inputs``: files, which are prepared in the run's folder, or one store that ``prepare`` made. A new model
    of ``size``, or ``start_from`` a named one. ``gaps`` of alignments in files are to "drop", to "keep" as
    tokens, or to "refuse". Everything is written into the folder ``output``; ``resume``
    goes on with a run that was interrupted there.

    Where several processes train together, each runs this. It returns in the first one; the others end here.

    Raises InputError, OutputError, ModelError, OptionError. ProcessError: one of several processes is gone.
    """
    paths = paths_of(inputs)
    folder = Path(output)
    crew = meet(recipe)
    with ExitStack() as opened:
        with crew.main_first():
            compute = choose_compute(device, dtype)
            name = start_from or f"a new {size}"
            if crew.is_main:
                request = _request_to_begin(paths, folder, name, resume, hosts_of(recipe))
            else:
                request = _request_to_join(paths, folder, name)
            permit = opened.enter_context(ask(request))
            if crew.is_main:
                opened.enter_context(hold_run(permit.folder("run")))
            checkpoint, sha256 = begin_with(start_from, size, recipe, device, modality_of(paths, modality))
            check_model(checkpoint, recipe, compute)
            if crew.is_main:
                begin_run(permit.folder("run"), recipe)
            bar = opened.enter_context(StageProgress(quiet=quiet or not crew.is_main))
            reading = reading_of(recipe, column=column, gaps=gaps, on_error=on_error, modality=modality)
            store = open_data(
                paths, permit, reading, checkpoint.tokenizer, folder, bar.update, is_main=crew.is_main
            )
            if crew.is_main:
                _remember(folder, checkpoint, sha256, store, name)
        summary = run_pretraining(store, checkpoint, recipe, compute, folder, bar.update)
    crew.dismiss()
    assert summary is not None, "the others ended"
    return summary


def _request_to_begin(
    inputs: Sequence[Path], folder: Path, model: str, resume: bool, contacts: tuple[str, ...]
) -> Request:
    files = files_of_data(inputs)
    if not resume and any(folder.glob("*")):
        remedy = "Pass --resume to go on with the run in it, or choose another folder"
        raise OutputError("the folder is not empty", where=str(folder), remedy=remedy)
    writes = {"run": Target(path=folder, kind="directory", overwrite=resume)}
    return request_of("pretrain", reads={"input": files}, writes=writes, contacts=contacts, model=model)


def _request_to_join(inputs: Sequence[Path], folder: Path, model: str) -> Request:
    """Of a process that joins the run which the first one began: it reads what was prepared, and only the
    first one contacts anyone.
    """
    files = files_of_data([place_of_data(inputs, folder)])
    writes = {"joined run": Target(path=folder, kind="directory", overwrite=True)}
    return request_of("pretrain", reads={"input": files}, writes=writes, model=model)


def begin_with(
    start_from: str | None, size: str, recipe: PretrainRecipe, device: str, modality: str | None
) -> tuple[Checkpoint, str]:
    """The model to train, and the sum of its files where it was read from some."""
    if start_from:
        model = load(start_from, device=device)
        return model.checkpoint, model.info.sha256
    checkpoint = new_model(
        size,
        trained_length=recipe.max_length,
        seed=recipe.seed,
        causal=recipe.objective == "causal",
        modality=modality_named(modality).name,
    )
    return checkpoint, ""


def _remember(folder: Path, checkpoint: Checkpoint, sha256: str, store: Store, model: str) -> None:
    facts = {
        "encoder": asdict(checkpoint.module.config),
        "start_sha256": sha256,
        "data_sha256": store.sha256,
    }
    notes = {"model": model, "data": str(store.folder.resolve()), "biofm": __version__}
    remember(folder, facts, notes)
