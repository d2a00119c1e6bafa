"""A pretraining run in a folder: split, train, judge, write down."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.split import Split, split_by_identity
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray

from biofm.core.errors import ModelError, OptionError, OutputError
from biofm.evaluation import HeldOutPerplexity, held_out_perplexity, residue_frequencies
from biofm.inference import Compute, Corpus
from biofm.models import Checkpoint, write_checkpoint
from biofm.report import draw_loss_curve
from biofm.training.files import written_whole
from biofm.training.metrics import read_metrics
from biofm.training.objectives import masked_lm
from biofm.training.progress import Progress
from biofm.training.recipe import PretrainRecipe

CONTACTS_LEFT_OUT = "contact heads left out: they fit the attention maps before this training"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSummary:
    """What a run did.

    ``held_out``: for each input file the model beside its baselines. ``notices``: what was changed or left
    out, counted.
    """

    model: str
    n_parameters: int
    n_train: int
    n_removed: int
    dtype: str
    dtype_reason: str
    held_out: dict[str, HeldOutPerplexity]
    notices: dict[str, int] = field(default_factory=dict)


def run_pretraining(
    corpus: Corpus,
    checkpoint: Checkpoint,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    progress: Progress,
) -> PretrainSummary:
    """Train ``checkpoint``'s module in place and write everything into ``folder``.

    ``recipe.json``: what is being done; ``split.npz``: which sequences train; ``checkpoints/``: where to
    resume; ``metrics.csv`` and ``loss.png``: how it went; ``model/``: the result; ``evaluation.json``: how
    good it is. A folder that holds a begun run of the same recipe and data is resumed; only the number of
    steps may differ. A trained model has no contact head: nothing here fits one.

    Raises OutputError: the folder holds another run, or other files. OptionError: an input has too few
    proteins to hold out, or the dtype is not one to train in. ModelError: the model has no head.
    """
    _check(checkpoint, compute)
    _remember(recipe, corpus, checkpoint, folder)
    split = _split(corpus, recipe, folder, progress)
    train = TokenStore.of(checkpoint.tokenizer.encode(corpus.sequences[i]) for i in split.train)
    notices: dict[str, int] = {}
    if recipe.n_steps:
        notices = _leave_out_contacts(checkpoint)
        _train(checkpoint, train, recipe, compute, folder, progress)
    checkpoint.module.float().to(compute.device).eval()
    unigram = residue_frequencies(train.tokens, checkpoint.tokenizer)
    held_out = _judge(corpus, split, checkpoint, unigram, compute, progress)
    _draw(folder, unigram)
    _write_model(folder / "model", checkpoint)
    summary = PretrainSummary(
        model=str(folder / "model"),
        n_parameters=sum(weight.numel() for weight in checkpoint.module.parameters()),
        n_train=len(split.train),
        n_removed=len(split.removed),
        dtype=compute.dtype_name,
        dtype_reason=compute.reason,
        held_out=held_out,
        notices=notices,
    )
    _write_json(folder / "evaluation.json", asdict(summary))
    return summary


def _check(checkpoint: Checkpoint, compute: Compute) -> None:
    if checkpoint.module.head is None:
        what = f"this {checkpoint.family} model has no language-model head, so it predicts no residues"
        raise ModelError(what, where="--start-from", remedy="Start from a checkpoint with its head")
    if compute.dtype is torch.float16:
        what = "float16 gradients vanish without loss scaling, which biofm does not do"
        raise OptionError(what, where="--dtype", remedy="Give bfloat16 or float32")


def _leave_out_contacts(checkpoint: Checkpoint) -> dict[str, int]:
    """Without a contact head, which reads the attention of the weights as they were; says so in a notice."""
    if checkpoint.module.contacts is None:
        return {}
    checkpoint.module.contacts = None
    return {CONTACTS_LEFT_OUT: 1}


def _train(
    checkpoint: Checkpoint,
    train: TokenStore,
    recipe: PretrainRecipe,
    compute: Compute,
    folder: Path,
    progress: Progress,
) -> None:
    from biofm.training.data import PackedData  # these bring lightning, which takes seconds to import
    from biofm.training.fit import fit

    objective = masked_lm(checkpoint.tokenizer, recipe)
    members = np.arange(len(train))
    data = PackedData(train, Mixture([members], None, recipe.seed), members[:0], objective, recipe)
    checkpoint.module.requires_grad_()
    fit(checkpoint.module, objective, data, recipe, compute, folder, progress)


def _remember(recipe: PretrainRecipe, corpus: Corpus, checkpoint: Checkpoint, folder: Path) -> None:
    """Write down what decides the run, unless the folder holds another one."""
    file = folder / "recipe.json"
    now = asdict(recipe) | {"encoder": asdict(checkpoint.module.config), "data_sha256": corpus.sha256}
    if file.exists():
        before = json.loads(file.read_text())
        differing = [name for name in now if name != "n_steps" and before.get(name, now[name]) != now[name]]
        if differing:
            what = f"this folder holds a run with another {', '.join(differing)}"
            raise OutputError(
                what,
                where=str(folder),
                remedy="Resume it with the same options and data, or choose a new folder",
            )
    elif any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "this folder holds files, but no run that could be resumed"
        raise OutputError(what, where=str(folder), remedy="Choose another folder")
    _write_json(file, now)


def _split(corpus: Corpus, recipe: PretrainRecipe, folder: Path, progress: Progress) -> Split:
    """The split of this run, made once: it depends on the data and the seed alone."""
    file = folder / "split.npz"
    if file.exists():
        with np.load(file) as stored:
            return Split(train=stored["train"], held_out=stored["held_out"], removed=stored["removed"])
    n_held_out = dict.fromkeys(sorted(set(corpus.sources)), recipe.n_held_out)
    try:
        split = split_by_identity(
            corpus.sequences, corpus.sources, n_held_out=n_held_out, seed=recipe.seed, progress=progress
        )
    except ValueError as error:
        raise OptionError(
            str(error), where="--held-out", remedy="Hold out fewer, or give more proteins"
        ) from error
    if not len(split.train):
        what = "every protein resembles a held-out one, so none is left to train on"
        raise OptionError(what, where="--held-out", remedy="Hold out fewer, or give more diverse proteins")
    with written_whole(file) as stream:
        np.savez(stream, train=split.train, held_out=split.held_out, removed=split.removed)
    return split


def _judge(
    corpus: Corpus,
    split: Split,
    checkpoint: Checkpoint,
    unigram: NDArray[np.float64],
    compute: Compute,
    progress: Progress,
) -> dict[str, HeldOutPerplexity]:
    """Perplexities on the held-out proteins of each source."""
    results = {}
    for source in sorted(set(corpus.sources)):
        proteins = [corpus.sequences[i] for i in split.held_out if corpus.sources[i] == source]
        if proteins:
            results[source] = held_out_perplexity(
                checkpoint.module,
                proteins,
                unigram,
                checkpoint.tokenizer,
                tokens_per_batch=compute.tokens_per_batch,
                progress=lambda done, total: progress("judging", done, total),
            )
    return results


def _draw(folder: Path, unigram: NDArray[np.float64]) -> None:
    """The loss curve; the unigram's own loss is its entropy."""
    if (folder / "metrics.csv").exists():
        with written_whole(folder / "loss.png") as file:
            baselines = {"residue frequencies alone": float(-(unigram * np.log(unigram)).sum())}
            draw_loss_curve(read_metrics(folder / "metrics.csv"), baselines, file, ".png")


def _write_model(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in write_checkpoint(checkpoint).items():
        with written_whole(folder / name) as file:
            file.write(content)


def _write_json(path: Path, content: object) -> None:
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
