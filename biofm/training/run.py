"""A pretraining run in a folder: train, judge, write down."""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import Store
from numpy.typing import NDArray

from biofm.core.errors import InputError, ModelError, OptionError
from biofm.core.progress import RunProgress
from biofm.corpus import describe_store
from biofm.evaluation import HeldOutPerplexity
from biofm.inference import Compute
from biofm.modalities import Tokenizer
from biofm.models import Checkpoint, write_checkpoint
from biofm.training.crew import rendezvous
from biofm.training.devices import check_devices
from biofm.training.environment import environment_of
from biofm.training.extras import check_extras
from biofm.training.files import written_whole
from biofm.training.folder import CHECKPOINTS, EVALUATION, HAD_ENDED, MODEL, write_json
from biofm.training.judging import judge, training_unigram
from biofm.training.metrics import METRICS, read_metrics
from biofm.training.objectives import Objective, causal_lm, masked_lm
from biofm.training.processes import batches_of_process, find_processes
from biofm.training.recipe import PretrainRecipe
from biofm.training.run_data import notices_of_split

ONLY_WARMED_UP = (
    "runs whose warm-up takes all of their steps, so that the learning rate never reaches its peak"
)
CONTACTS_LEFT_OUT = "contact heads left out: they fit the attention maps before this training"
N_SAMPLED = 20
"""Held-out sequences of each part whose relatives in training are looked for, for the report."""
UNUSED = "<null_1>"
"""A token of ESM's alphabet that no sequence has, in the place of which ESM C has one of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSummary:
    """What a run did.

    ``held_out``: for each source the model beside its baselines. ``best_step``: whose weights the model has,
    0 where nothing was trained. ``notices``: what was changed or left out, counted.
    """

    model: str
    n_parameters: int
    n_train: int
    n_removed: int
    dtype: str
    dtype_reason: str
    held_out: dict[str, HeldOutPerplexity]
    best_step: int = 0
    notices: dict[str, int] = field(default_factory=dict)


def run_pretraining(
    store: Store,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    progress: RunProgress,
) -> PretrainSummary | None:
    """Train ``checkpoint``'s module in place and write everything into ``folder``; of several processes, the
    first one judges, writes and returns what came of it.

    ``checkpoints/``: where to resume; ``metrics.csv`` and ``tensorboard/``: how it went; ``model/``: the
    result; ``evaluation.json``: how good it is; ``report.html``: all of it to be read. A begun run is
    resumed. A trained model has no contact head: nothing here fits one.

    Raises InputError: the store is spelt in another alphabet. OptionError: it has no part to validate on.
    """
    crew = rendezvous(recipe)
    crew.in_main(lambda: check_store(store, checkpoint, recipe))
    notices, best_step = {}, 0
    states_before = _states(folder) if (folder / EVALUATION).exists() else None
    if recipe.n_steps:
        notices = _leave_out_contacts(checkpoint)
        if recipe.n_warmup >= recipe.n_steps:
            notices[ONLY_WARMED_UP] = 1
        best_step = _train(store, checkpoint, recipe, compute, folder, progress)
    summary = crew.in_main(
        lambda: _conclude(store, checkpoint, recipe, compute, folder, progress, notices, best_step)
    )
    if summary and states_before == _states(folder):
        summary.notices[HAD_ENDED] = 1  # in what is said, not in what is written: the files stay the same
    return summary


def _states(folder: Path) -> list[str]:
    """The names of the checkpoints: no step was made between two equal lists."""
    return sorted(path.name for path in (folder / CHECKPOINTS).glob("step-*.ckpt"))


def _conclude(
    store: Store,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    progress: RunProgress,
    notices: dict[str, int],
    best_step: int,
) -> PretrainSummary:
    """Judge the model and write it down."""
    checkpoint.module.float().to(compute.device).eval()
    unigram = training_unigram(store, checkpoint.tokenizer)
    summary = PretrainSummary(
        model=str(folder / MODEL),
        n_parameters=sum(weight.numel() for weight in checkpoint.module.parameters()),
        n_train=len(store.split["train"]),
        n_removed=len(store.split["removed"]),
        dtype=compute.dtype_name,
        dtype_reason=compute.reason,
        held_out=judge(store, checkpoint, unigram, compute, progress),
        best_step=best_step,
        notices=store.record.notices | notices_of_split(store, folder) | notices,
    )
    _write_model(folder / MODEL, checkpoint)
    write_json(folder / EVALUATION, asdict(summary))
    _report(store, checkpoint, recipe, compute, folder, summary, unigram, progress)
    return summary


def check_model(checkpoint: Checkpoint, recipe: PretrainRecipe, compute: Compute) -> None:
    """Raise ModelError or OptionError where the model cannot be trained so, before there is any work."""
    if checkpoint.module.head is None:
        units = checkpoint.tokenizer.modality.words.units
        what = f"this {checkpoint.family} model has no language-model head, so it predicts no {units}"
        raise ModelError(what, where="--start-from", remedy="Start from a checkpoint with its head")
    if compute.dtype is torch.float16:
        what = "float16 gradients vanish without loss scaling, which biofm does not do"
        raise OptionError(what, where="--dtype", remedy="Give bfloat16 or float32")
    kind = "causal" if checkpoint.module.config.causal else "masked"
    if recipe.objective != kind:
        what = f"this is a {kind} model, which is not trained to be a {recipe.objective} one"
        raise OptionError(what, where="--objective", remedy=f"Give {kind}, or start from another model")
    check_extras(recipe)
    processes = find_processes(recipe)
    batches_of_process(recipe, processes)
    check_devices(compute, processes)


def objective_of(checkpoint: Checkpoint, recipe: PretrainRecipe) -> Objective:
    tokenizer = checkpoint.tokenizer
    return causal_lm(tokenizer) if recipe.objective == "causal" else masked_lm(tokenizer, recipe)


def check_store(store: Store, checkpoint: Checkpoint, recipe: PretrainRecipe) -> None:
    _check_alphabet(store, checkpoint.tokenizer)
    if recipe.validate_every and not len(store.split["validation"]):
        what = "nothing is there to validate on: the data has no such part"
        remedy = "Give --set n_validation=200, or a store prepared with --validation; or leave this out"
        raise OptionError(what, where="--set validate_every", remedy=remedy)


def _check_alphabet(store: Store, tokenizer: Tokenizer) -> None:
    """Raises InputError where the tokens of a store mean other things to the model."""
    stored, own = store.record.alphabet, tokenizer.alphabet
    is_same = (
        stored.modality == own.modality
        and len(stored.tokens) == len(own.tokens)
        and all(a in (b, UNUSED) for a, b in zip(stored.tokens, own.tokens, strict=True))
        and (stored.before, stored.behind) == (own.before, own.behind)
    )
    remedy = "Prepare it for this model, or take another one"
    if not is_same:
        what = (
            f"this store is spelt in the alphabet {stored.name} ({stored.modality}), which is not the model's"
        )
        raise InputError(what, where=str(store.folder), remedy=remedy)
    if tokenizer.has_values != (store.tokens.values is not None):
        what = "the model reads a number with each token, and this store has none"
        if not tokenizer.has_values:
            what = "this store has a number with each token, and the model reads none"
        raise InputError(what, where=str(store.folder), remedy=remedy)


def _leave_out_contacts(checkpoint: Checkpoint) -> dict[str, int]:
    """Without a contact head, which reads the attention of the weights as they were; says so in a notice."""
    if checkpoint.module.contacts is None:
        return {}
    checkpoint.module.contacts = None
    return {CONTACTS_LEFT_OUT: 1}


def _train(
    store: Store,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    progress: RunProgress,
) -> int:
    """The step whose weights the module has then."""
    from biofm.training.data import PackedData  # these bring lightning, which takes seconds to import
    from biofm.training.fit import fit

    objective = objective_of(checkpoint, recipe)
    mixture = Mixture(store.pools("train"), store.weights, recipe.seed)
    data = PackedData(store.tokens, mixture, store.split["validation"], objective, recipe)
    checkpoint.module.requires_grad_()
    return fit(checkpoint.module, objective, data, recipe, compute, folder, progress).best_step


def _write_model(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in write_checkpoint(checkpoint).items():
        with written_whole(folder / name) as file:
            file.write(content)


def _report(
    store: Store,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    summary: PretrainSummary,
    unigram: NDArray[np.float64],
    progress: RunProgress,
) -> None:
    from biofm.training import reporting  # brings matplotlib

    words = checkpoint.tokenizer.modality.words
    name = " and ".join(source.name for source in store.record.sources)
    data = describe_store(store, name, n_sampled=N_SAMPLED, seed=recipe.seed, progress=progress)
    report = reporting.report_of_pretraining(
        summary,
        recipe,
        checkpoint.module.config,
        read_metrics(folder / METRICS) if (folder / METRICS).exists() else [],
        sources=[source.name for source in store.record.sources],
        words=words,
        unigram=unigram,
        data=reporting.describe_data(data, words.item),
        environment=environment_of(compute),
        ended=datetime.now().strftime("%Y-%m-%d %H:%M"),
    )
    reporting.write_run_report(replace(report, pictures=(reporting.picture_data(data),)), folder)
