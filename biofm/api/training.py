"""``pretrain``: a model of one's own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from biofm.api.model import load
from biofm.api.request import request_of
from biofm.core import StageProgress
from biofm.core.errors import InputError, OutputError
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import choose_compute
from biofm.inference.records import read_corpus
from biofm.models import new_protein_model
from biofm.policy import Target
from biofm.training import PretrainRecipe, PretrainSummary, run_pretraining


def pretrain(
    inputs: Sequence[str | Path],
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
    """Train a protein model by masked-language modelling on the proteins of ``inputs``, and judge it on held-
    out ones.

    A new model of ``size``, or ``start_from`` a named one. Everything is written into the folder ``output``;
    ``resume`` goes on with a run that was interrupted there.

    Raises InputError, OutputError, ModelError, OptionError.
    """
    compute = choose_compute(device, dtype)
    paths = tuple(Path(path) for path in inputs)
    _check_run(paths, Path(output), resume)
    writes = {"run": Target(path=Path(output), kind="directory", overwrite=resume)}
    request = request_of(
        "pretrain", reads={"input": paths}, writes=writes, model=start_from or f"a new {size}"
    )
    notices: Counter[str] = Counter()
    with ask(request) as permit:
        corpus = read_corpus(
            permit.readers("input"), _short_names(paths), notices, on_error=on_error, column=column
        )
        if start_from:
            checkpoint = load(start_from, device=device).checkpoint
        else:
            checkpoint = new_protein_model(size, trained_length=recipe.max_length, seed=recipe.seed)
        with StageProgress(quiet=quiet) as bar:
            summary = run_pretraining(corpus, checkpoint, recipe, compute, permit.folder("run"), bar.update)
    return replace(summary, notices=dict(notices) | summary.notices)


def _check_run(inputs: Sequence[Path], output: Path, resume: bool) -> None:
    """What the gate cannot know: that a run reads its inputs twice, and how one goes on with a run."""
    if STANDARD_INPUT in inputs:
        what = "a run reads its input more than once, which a pipe does not allow"
        raise InputError(what, where="-", remedy="Write the proteins into a file first")
    if not resume and any(output.glob("*")):
        remedy = "Pass --resume to go on with the run in it, or choose another folder"
        raise OutputError("the folder is not empty", where=str(output), remedy=remedy)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names, with their folders where two files share a name."""
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
