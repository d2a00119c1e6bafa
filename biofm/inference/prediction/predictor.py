"""A trained predictor at work: its members run over sequences and answer as one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.evaluation.calibration import Calibration
from biofm.inference.compute import Compute, place
from biofm.inference.embed import Embedder, EmbedOptions, Protein
from biofm.inference.prediction.ensemble import Combined, combine
from biofm.inference.prediction.files import PredictorFiles
from biofm.inference.prediction.heads import Floats, Head, embedder_pool
from biofm.inference.prediction.info import PredictorInfo
from biofm.models import Checkpoint


class Branch(NamedTuple):
    """An encoder and the heads on it: of a probe all members', else one member's."""

    embedder: Embedder
    heads: Sequence[Head]

    def outputs(self, chunk: Sequence[Protein], on_batch: Callable[[int, int], None]) -> list[Floats]:
        """Of each head, the rows of a chunk in order."""
        rows = self.embedder.embed_new(chunk, {}, on_batch)
        found = np.concatenate([rows[protein.key] for protein in chunk])
        lengths = np.array([protein.n_residues for protein in chunk])
        return [head.outputs(found, lengths) for head in self.heads]


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

    def stream(
        self,
        proteins: Iterable[Protein],
        on_batch: Callable[[int, int], None] = lambda tokens, residues: None,
    ) -> Iterator[Part]:
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
    heads = [files.head(member.name) for member in info.members]
    if info.method == "probe":
        assert base is not None, "a probe stands on a model"
        branches = [Branch(_embedder(base, compute, options), heads)]
    else:
        branches = []
        for member, head in zip(info.members, heads, strict=True):
            if info.method == "full":
                checkpoint = files.checkpoint(member.name)
            else:
                assert base is not None, "an adapter stands on a model"
                checkpoint = copy_of(base)
                files.merge_adapter(member.name, checkpoint)
            branches.append(Branch(_embedder(checkpoint, compute, options), [head]))
    _check_widths(branches, info)
    return Ensemble(info, branches, files.calibration())


def copy_of(checkpoint: Checkpoint) -> Checkpoint:
    """The same model with weights of its own."""
    return Checkpoint(checkpoint.family, deepcopy(checkpoint.module), checkpoint.tokenizer)


def _embedder(checkpoint: Checkpoint, compute: Compute, options: EmbedOptions) -> Embedder:
    encoder = place(checkpoint.module.encoder, compute)
    return Embedder(encoder, checkpoint.tokenizer, compute, options)


def _check_widths(branches: Sequence[Branch], info: PredictorInfo) -> None:
    for branch in branches:
        for head in branch.heads:
            width = next(layer.in_features for layer in head.layers if hasattr(layer, "in_features"))
            if width != branch.embedder.config.d_model:
                what = f"it stands on vectors of {width} numbers, and the model's have "
                what += f"{branch.embedder.config.d_model}"
                remedy = f"Name the model that it was trained on ({info.model}) with --model"
                raise ModelError(what, where="the predictor", remedy=remedy)
