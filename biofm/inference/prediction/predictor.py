"""A trained predictor at work: its members run over sequences and answer as one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.evaluation.calibration import Calibration
from biofm.inference.compute import Compute, place
from biofm.inference.embed import Embedder, EmbedOptions, OnBatch, Protein, unheard
from biofm.inference.prediction.ensemble import Combined, combine
from biofm.inference.prediction.files import PredictorFiles
from biofm.inference.prediction.heads import Floats, Head, embedder_pool
from biofm.inference.prediction.info import PredictorInfo
from biofm.models import Checkpoint


class Branch(NamedTuple):
    """An encoder and the heads on it: of a probe all members', else one member's."""

    embedder: Embedder
    heads: Sequence[Head]

    def outputs(self, chunk: Sequence[Protein], on_batch: OnBatch = unheard) -> list[Floats]:
        """Of each head, the rows of a chunk in order."""
        rows = self.embedder.embed_new(chunk, {}, on_batch)
        found = np.concatenate([rows[protein.key] for protein in chunk])
        lengths = np.array([protein.n_residues for protein in chunk])
        return [head.outputs(found, lengths) for head in self.heads]

    def answer(self, records: Iterable[Record], notices: Counter[str]) -> Floats:
        """The outputs of the one head for all records, in order and in memory."""
        (head,) = self.heads
        chunks = self.embedder.chunks(self.embedder.tokenise(records, notices))
        parts = [self.outputs(chunk)[0] for chunk in chunks]
        return np.concatenate([np.empty((0, head.n_outputs), np.float32), *parts])


class Part(NamedTuple):
    """Some proteins in the order of the input, and what is predicted of them, residue after residue where it
    is of residues.
    """

    proteins: list[Protein]
    found: Combined

    @property
    def lengths(self) -> list[int]:
        return [protein.n_residues for protein in self.proteins]


class Ensemble:
    """The members of a predictor, and how their answers become one."""

    def __init__(self, info: PredictorInfo, branches: Sequence[Branch], calibration: Calibration) -> None:
        self.info = info
        self.branches = branches
        self.calibration = calibration
        self.folds = [member.fold for member in info.members]

    @property
    def embedder(self) -> Embedder:
        """The one that tokenises and that makes chunks, for all."""
        return self.branches[0].embedder

    def stream(self, proteins: Iterable[Protein], on_batch: OnBatch = unheard) -> Iterator[Part]:
        """Predictions in the order of ``proteins``; memory does not grow with their number."""
        for chunk in self.embedder.chunks(proteins):
            outputs: list[NDArray[np.float32]] = []
            for branch in self.branches:
                outputs += branch.outputs(chunk, on_batch)
            yield Part(chunk, combine(outputs, self.folds))


def read_ensemble(
    files: PredictorFiles,
    base: Checkpoint | None,
    compute: Compute,
    *,
    window: int | None = None,
    tokens_per_batch: int | None = None,
) -> Ensemble:
    """A predictor from its files and, unless it was fine-tuned whole, the model that it stands on.

    Raises ModelError: a file is missing or does not fit. OptionError: ``window`` is not one for the model.
    """
    info = files.info
    options = EmbedOptions(
        pool=embedder_pool(info.task, info.pool),
        window=window or info.window or None,
        tokens_per_batch=tokens_per_batch,
    )
    if info.method == "probe":
        assert base is not None, "a probe stands on a model"
        heads = [files.head(member.name) for member in info.members]
        branches = [_checked(Branch(_embedder(base, compute, options), heads), info)]
    else:
        branches = [open_branch(files, member.name, base, compute, options) for member in info.members]
    return Ensemble(info, branches, files.calibration())


def open_branch(
    files: PredictorFiles, member: str, base: Checkpoint | None, compute: Compute, options: EmbedOptions
) -> Branch:
    """A member with an encoder of its own: adapters merged into a copy of ``base``, or one read whole."""
    if files.info.has_encoders:
        checkpoint = files.checkpoint(member)
    else:
        assert base is not None, "an adapter stands on a model"
        # In float32, in which it was trained, whatever the model is stored in.
        checkpoint = Checkpoint(base.family, deepcopy(base.module).float(), base.tokenizer)
        files.merge_adapter(member, checkpoint)
    return _checked(Branch(_embedder(checkpoint, compute, options), [files.head(member)]), files.info)


def _embedder(checkpoint: Checkpoint, compute: Compute, options: EmbedOptions) -> Embedder:
    encoder = place(checkpoint.module.encoder, compute)
    return Embedder(encoder, checkpoint.tokenizer, compute, options)


def _checked(branch: Branch, info: PredictorInfo) -> Branch:
    """Raise ModelError where a head stands on wider or narrower vectors than the model's."""
    d_model = branch.embedder.config.d_model
    for head in branch.heads:
        if head.d_model != d_model:
            what = f"its head stands on vectors of {head.d_model} numbers, and the model's have {d_model}"
            remedy = f"Name the model that it was trained on ({info.model}) with --model"
            raise ModelError(what, where="the predictor", remedy=remedy)
    return branch
