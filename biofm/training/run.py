"""A pretraining run in a folder: it trains the model, evaluates it and writes the results."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import Store
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.errors import ModelError, OptionError
from biofm.core.progress import RunProgress
from biofm.corpus import describe_store
from biofm.inference import Compute
from biofm.models import Checkpoint, write_checkpoint
from biofm.training.folder import CHECKPOINTS, EVALUATION, HAD_ENDED, LOG, MODEL, write_json, written_whole
from biofm.training.log import read_log
from biofm.training.objectives import Objective, causal_lm, masked_lm
from biofm.training.processes import batches_of_process, check_devices, find_processes, rendezvous
from biofm.training.recipe import PretrainRecipe
from biofm.training.run_data import notices_of_split
from biofm.training.summary import PretrainSummary, measure_perplexity, training_unigram
from biofm.training.weights_and_biases import check_wandb

CONTACTS_LEFT_OUT = "The contact head was left out, because it fits the attention maps before this training."
N_SAMPLED = 20
"""Number of held-out sequences of each part for which the report searches relatives in training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainRun:
    """Holds what defines one pretraining.

    Attributes:
        store: The token store of the data.
        checkpoint: The model, which is trained in place, with its tokenizer.
        recipe: The settings of the training.
        compute: The device and the number format.
        folder: The folder into which everything is written.
        progress: Called with the stage and the progress within it.
    """

    store: Store
    checkpoint: Checkpoint
    recipe: PretrainRecipe
    compute: Compute
    folder: Path
    progress: RunProgress


def run_pretraining(run: PretrainRun) -> PretrainSummary | None:
    """Train the model of ``run`` in place and write everything into its folder.

    Of several processes, only the first one evaluates, writes and returns the summary; the others return
    None. The folder gets:

    - ``checkpoints/``, from which the run can be resumed,
    - ``metrics.csv`` and ``tensorboard/``, the log of the steps,
    - ``model/``, the trained model, which has no contact head because nothing here fits one,
    - ``evaluation.json``, the perplexities on held-out sequences,
    - ``report.html``, which shows all of this.

    If the folder holds an unfinished run, that run is resumed. ``check_store`` has accepted the store.
    """
    recipe, folder = run.recipe, run.folder
    crew = rendezvous(recipe)
    notices, best_step = {}, 0
    states_before = _states(folder) if (folder / EVALUATION).exists() else None
    if recipe.n_steps:
        notices = _leave_out_contacts(run.checkpoint)
        if recipe.n_warmup >= recipe.n_steps:
            notices[_describe_long_warmup(recipe)] = 1
        best_step = _train(run)
    summary = crew.in_main(lambda: _conclude(run, notices, best_step))
    if summary and states_before == _states(folder):
        summary.notices[HAD_ENDED] = 1  # shown, but not written: the files of a repeated run stay the same
    return summary


def check_model(checkpoint: Checkpoint, recipe: PretrainRecipe, compute: Compute) -> None:
    """Check, before any work is done, that the model can be trained by the recipe on this machine.

    Raises:
        ModelError: The model has no language-model head.
        OptionError: The number format, the objective or the number of processes does not fit.
        MissingExtraError: The recipe asks for Weights & Biases, which is not installed.
    """
    if checkpoint.module.head is None:
        units = checkpoint.tokenizer.modality.words.units
        what = f"this {checkpoint.family} model has no language-model head, so it predicts no {units}"
        raise ModelError(what, where="--start-from", remedy="Start from a checkpoint with its head")
    if compute.dtype is torch.float16:
        what = "float16 gradients vanish without loss scaling, which biofm does not do"
        raise OptionError(what, where="--dtype", remedy="Give bfloat16 or float32")
    kind = "causal" if checkpoint.module.config.causal else "masked"
    if recipe.objective != kind:
        what = f"this is a {kind} model, which cannot be trained by the {recipe.objective} objective"
        raise OptionError(what, where="--objective", remedy=f"Give {kind}, or start from another model")
    check_wandb(recipe)
    processes = find_processes(recipe)
    batches_of_process(recipe, processes)
    check_devices(compute, processes)


def objective_of(checkpoint: Checkpoint, recipe: PretrainRecipe) -> Objective:
    """Make the objective that the recipe names, for the tokens of this model."""
    tokenizer = checkpoint.tokenizer
    return causal_lm(tokenizer) if recipe.objective == "causal" else masked_lm(tokenizer, recipe)


def _states(folder: Path) -> list[str]:
    """List the names of the checkpoints. They change when a step is made."""
    return sorted(path.name for path in (folder / CHECKPOINTS).glob("step-*.ckpt"))


def _leave_out_contacts(checkpoint: Checkpoint) -> dict[str, int]:
    """Remove the contact head, because it was fitted to the attention maps before training.

    Returns the notice that it was removed, or an empty dictionary if the model has none.
    """
    if checkpoint.module.contacts is None:
        return {}
    checkpoint.module.contacts = None
    return {CONTACTS_LEFT_OUT: 1}


def _describe_long_warmup(recipe: PretrainRecipe) -> str:
    warmup, steps = format_count(recipe.n_warmup, "step"), format_count(recipe.n_steps, "step")
    return (
        f"The warm-up ({warmup}) is not shorter than the run ({steps}): the learning rate never reaches its "
        "peak."
    )


def _train(run: PretrainRun) -> int:
    """Train the model, and return the step whose weights it has afterwards."""
    from biofm.training.data import PackedData  # these import lightning, which takes seconds
    from biofm.training.fit import fit

    store, module, recipe = run.store, run.checkpoint.module, run.recipe
    objective = objective_of(run.checkpoint, recipe)
    mixture = Mixture(store.pools("train"), store.weights, recipe.seed)
    data = PackedData(store.tokens, mixture, store.split["validation"], objective, recipe)
    module.requires_grad_()
    return fit(module, objective, data, recipe, run.compute, run.folder, run.progress).best_step


def _conclude(run: PretrainRun, notices: dict[str, int], best_step: int) -> PretrainSummary:
    """Measure how good the model is, and write the model, its evaluation and the report."""
    store, checkpoint, compute, folder = run.store, run.checkpoint, run.compute, run.folder
    checkpoint.module.float().to(compute.device).eval()
    unigram = training_unigram(store, checkpoint.tokenizer)
    summary = PretrainSummary(
        model=str(folder / MODEL),
        n_parameters=sum(weight.numel() for weight in checkpoint.module.parameters()),
        n_train=len(store.split["train"]),
        n_removed=len(store.split["removed"]),
        dtype=compute.dtype_name,
        dtype_reason=compute.reason,
        held_out=measure_perplexity(store, checkpoint, unigram, compute, run.progress),
        best_step=best_step,
        notices=store.record.notices | notices_of_split(store, folder) | notices,
    )
    _write_model(folder / MODEL, checkpoint)
    write_json(folder / EVALUATION, asdict(summary))
    _report(run, summary, unigram)
    return summary


def _write_model(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in write_checkpoint(checkpoint).items():
        with written_whole(folder / name) as file:
            file.write(content)


def _report(run: PretrainRun, summary: PretrainSummary, unigram: NDArray[np.float64]) -> None:
    """Write ``report.html`` and its pictures. ``unigram`` holds the frequencies of the units in training."""
    from biofm.training import reporting  # imports matplotlib

    store, checkpoint, recipe, folder = run.store, run.checkpoint, run.recipe, run.folder
    words = checkpoint.tokenizer.modality.words
    name = " and ".join(source.name for source in store.record.sources)
    data = describe_store(store, name, n_sampled=N_SAMPLED, seed=recipe.seed, progress=run.progress)
    report = reporting.report_of_pretraining(
        summary,
        recipe,
        checkpoint.module.config,
        read_log(folder / LOG) if (folder / LOG).exists() else [],
        sources=[source.name for source in store.record.sources],
        words=words,
        unigram=unigram,
        data=reporting.describe_data(data, words.item),
        environment=reporting.environment_of(run.compute),
        ended=reporting.now(),
    )
    reporting.write_run_report(replace(report, pictures=(reporting.picture_data(data),)), folder)
