"""``pretrain``: a model of one's own."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from biofm.api.model import load
from biofm.api.request import request_of
from biofm.api.run_data import files_of_data, open_data, reading_of
from biofm.core import StageProgress, __version__
from biofm.core.errors import OutputError
from biofm.gate import ask
from biofm.inference import choose_compute
from biofm.models import Checkpoint, new_protein_model
from biofm.policy import Target
from biofm.training import (
    PretrainRecipe,
    PretrainSummary,
    begin_run,
    check_model,
    find_processes,
    remember,
    run_pretraining,
)


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
    on_error: str = "stop",
    resume: bool = False,
    quiet: bool = True,
) -> PretrainSummary:
    """Train a language model of proteins on the proteins of ``inputs``, and judge it on held-out ones.

    ``inputs``: files, which are prepared in the run's folder, or one store that ``prepare`` made. A new model
    of ``size``, or ``start_from`` a named one. Everything is written into the folder ``output``; ``resume``
    goes on with a run that was interrupted there.

    Where several processes train together, each runs this. It returns in the first one; the others end here.

    Raises InputError, OutputError, ModelError, OptionError.
    """
    compute = choose_compute(device, dtype)
    paths = (Path(inputs),) if isinstance(inputs, str | Path) else tuple(Path(path) for path in inputs)
    files, folder = files_of_data(paths), Path(output)
    reading = reading_of(recipe, column=column, on_error=on_error)
    is_main = find_processes(recipe).is_main
    if is_main and not resume and any(folder.glob("*")):
        remedy = "Pass --resume to go on with the run in it, or choose another folder"
        raise OutputError("the folder is not empty", where=str(folder), remedy=remedy)
    writes = {"run": Target(path=folder, kind="directory", overwrite=resume or not is_main)}
    model = start_from or f"a new {size}"
    with ask(request_of("pretrain", reads={"input": files}, writes=writes, model=model)) as permit:
        checkpoint, start_sha256 = _begin_with(start_from, size, recipe, device)
        check_model(checkpoint, recipe, compute)
        if is_main:
            begin_run(permit.folder("run"), recipe)
        with StageProgress(quiet=quiet or not is_main) as bar:
            store = open_data(paths, permit, recipe, reading, folder, bar.update)
            if is_main:
                facts = {
                    "encoder": asdict(checkpoint.module.config),
                    "start_sha256": start_sha256,
                    "data_sha256": store.sha256,
                }
                notes = {"model": model, "data": str(store.folder.resolve()), "biofm": __version__}
                remember(folder, facts, notes)
            summary = run_pretraining(store, checkpoint, recipe, compute, folder, bar.update)
    if summary is None:
        sys.exit(0)
    return summary


def _begin_with(
    start_from: str | None, size: str, recipe: PretrainRecipe, device: str
) -> tuple[Checkpoint, str]:
    """The model to train, and the sum of its files where it was read from some."""
    if start_from:
        model = load(start_from, device=device)
        return model.checkpoint, model.info.sha256
    is_causal = recipe.objective == "causal"
    return new_protein_model(size, trained_length=recipe.max_length, seed=recipe.seed, causal=is_causal), ""
