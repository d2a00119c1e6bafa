"""A trained predictor at work: its members run over sequences and answer as one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
from biofm_datasets import Record
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.core.progress import no_progress
from biofm.evaluation import Calibration
from biofm.inference.compute import Compute, place
from biofm.inference.embed import Embedder, EmbedOptions, OnBatch
from biofm.inference.prediction.domain import Domain
from biofm.inference.prediction.ensemble import Combined, combine
from biofm.inference.prediction.files import PredictorFiles
from biofm.inference.prediction.heads import Head, embedder_pool
from biofm.inference.prediction.info import PredictorInfo
from biofm.inference.prediction.nearest import Nearest
from biofm.modalities import Item
from biofm.models import Checkpoint
from biofm.models.finiteness import not_finite


class Rows(NamedTuple):
    """What an embedder gives of a chunk: a row a protein or, where ``is_per_residue``, a row a residue."""

    values: Floats
    lengths: NDArray[np.int64]
    is_per_residue: bool

    def of_proteins(self) -> Floats:
        """One a protein: the mean of its residues'."""
        if not self.is_per_residue:
            return self.values
        return mean_of_residues(self.values, self.lengths)


def mean_of_residues(rows: Floats, lengths: NDArray[np.int64]) -> Floats:
    """A row a protein from the rows of its residues, which stand one after the other."""
    begins = np.cumsum(lengths) - lengths
    return (np.add.reduceat(rows, begins, axis=0) / lengths[:, None]).astype(np.float32)


def faulty_proteins(outputs: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of which proteins an output, of them or of one of their residues, is not finite."""
    is_faulty: NDArray[np.bool_] = ~np.isfinite(outputs).all(axis=1)
    if len(is_faulty) == len(lengths):
        return is_faulty
    return np.logical_or.reduceat(is_faulty, np.cumsum(lengths) - lengths)


class Answer(NamedTuple):
    """``outputs`` of a head, and how far each protein lies from the nearest that trained, where that was
    asked.
    """

    outputs: Floats
    distances: NDArray[np.float64] | None


class Branch(NamedTuple):
    """An encoder and the heads on it: of a probe all members', else one member's."""

    embedder: Embedder
    heads: Sequence[Head]

    def rows(self, chunk: Sequence[Item], on_batch: OnBatch = no_progress) -> Rows:
        """What the heads stand on, in the order of a chunk."""
        found = self.embedder.embed_new(chunk, {}, on_batch)
        lengths = np.array([item.n_units for item in chunk])
        values = np.concatenate([found[item.key] for item in chunk])
        return Rows(values, lengths, self.embedder.is_per_residue)

    def outputs(self, rows: Rows) -> list[Floats]:
        """Of each head."""
        return [head.outputs(rows.values, rows.lengths) for head in self.heads]

    def check(self, outputs: Sequence[Floats], chunk: Sequence[Item], lengths: NDArray[np.int64]) -> None:
        """Raises ModelError for the first protein of which an output of a head is not finite."""
        for head, of_head in zip(self.heads, outputs, strict=True):
            is_faulty = faulty_proteins(of_head, lengths)
            if is_faulty.any():
                raise not_finite(head.layers, chunk[int(is_faulty.argmax())].where)

    def answer(
        self, records: Iterable[Record], notices: Counter[str], nearest: Nearest | None = None
    ) -> Answer:
        """What the one head says of all records, in order and in memory."""
        (head,) = self.heads
        outputs, distances = [np.empty((0, head.n_outputs), np.float32)], [np.empty(0)]
        for rows in self._stream(records, notices):
            outputs += self.outputs(rows)
            if nearest is not None:
                distances.append(nearest.distances(rows.of_proteins()))
        return Answer(np.concatenate(outputs), None if nearest is None else np.concatenate(distances))

    def vectors(self, records: Iterable[Record], notices: Counter[str]) -> Floats:
        """One row a record, in order and in memory."""
        return np.concatenate([rows.of_proteins() for rows in self._stream(records, notices)])

    def _stream(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[Rows]:
        return map(self.rows, self.embedder.chunks(self.embedder.tokenise(records, notices)))


class Part(NamedTuple):
    """Some items in the order of the input, what is predicted of them, residue after residue where it is
    of residues, and how far each lies from the nearest that trained, where the predictor knows. What is
    without a prediction (``are_empty``), because the model's numbers are not finite, has zeros in its place.
    """

    items: list[Item]
    found: Combined
    distances: NDArray[np.float64] | None
    are_empty: NDArray[np.bool_]

    @property
    def lengths(self) -> list[int]:
        return [item.n_units for item in self.items]


class Ensemble:
    """The members of a predictor, how their answers become one, and for which proteins that is worth
    something: ``domain``, and ``nearest`` in the vectors of the first member, None where it is not known.
    """

    def __init__(
        self,
        info: PredictorInfo,
        branches: Sequence[Branch],
        calibration: Calibration,
        domain: Domain | None = None,
        nearest: Nearest | None = None,
    ) -> None:
        self.info = info
        self.branches = branches
        self.calibration = calibration
        self.domain = domain
        self.nearest = nearest
        self.folds = [member.fold for member in info.members]

    @property
    def embedder(self) -> Embedder:
        """The one that tokenises and that makes chunks, for all."""
        return self.branches[0].embedder

    def stream(self, items: Iterable[Item], on_batch: OnBatch = no_progress) -> Iterator[Part]:
        """Predictions in the order of ``items``; memory does not grow with their number.

        Raises ModelError or OptionError: numbers are not finite, unless ``on_error`` of the embedder's
        options is "skip".
        """
        for chunk in self.embedder.chunks(items):
            lengths = np.array([item.n_units for item in chunk])
            outputs: list[Floats] = []
            distances = None
            for number, branch in enumerate(self.branches):
                rows = branch.rows(chunk, on_batch)
                of_branch = branch.outputs(rows)
                if self.embedder.options.on_error == "stop":
                    branch.check(of_branch, chunk, lengths)
                outputs += of_branch
                if number == 0 and self.nearest is not None:
                    distances = self.nearest.distances(rows.of_proteins())
            are_empty = np.logical_or.reduce([faulty_proteins(one, lengths) for one in outputs])
            if are_empty.any():
                outputs = [np.nan_to_num(one, nan=0, posinf=0, neginf=0) for one in outputs]
            yield Part(chunk, combine(outputs, self.folds), distances, are_empty)


def read_ensemble(
    files: PredictorFiles,
    base: Checkpoint | None,
    compute: Compute,
    *,
    window: int | None = None,
    tokens_per_batch: int | None = None,
    on_error: str = "stop",
) -> Ensemble:
    """A predictor from its files and, unless it was fine-tuned whole, the model that it stands on.
    ``on_error`` "skip" makes a protein whose numbers are not finite one without a prediction.

    Raises ModelError: a file is missing or does not fit. OptionError: ``window`` is not one for the model.
    """
    info = files.info
    options = EmbedOptions(
        pool=embedder_pool(info.task, info.pool),
        window=window or info.window or None,
        tokens_per_batch=tokens_per_batch,
        on_error=on_error,
    )
    if info.method == "probe":
        assert base is not None, "a probe stands on a model"
        heads = [files.head(member.name) for member in info.members]
        branches = [_checked(Branch(_embedder(base, compute, options), heads), info)]
    else:
        branches = [open_branch(files, member.name, base, compute, options) for member in info.members]
    nearest = files.nearest()
    if nearest is not None:
        _check_width(len(nearest.mean), branches[0], "the kept vectors of its training have {} numbers", info)
    return Ensemble(info, branches, files.calibration(), files.domain(), nearest)


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
    tokenizer = branch.embedder.tokenizer
    if info.alphabet_sha256 not in ("", tokenizer.alphabet.sha256):
        alphabet = f"{tokenizer.modality.name}, {tokenizer.name}"
        what = f"it reads {info.modality} in another alphabet than the model ({alphabet})"
        remedy = f"Name the model that it was trained on ({info.model}) with --model"
        raise ModelError(what, where="the predictor", remedy=remedy)
    for head in branch.heads:
        _check_width(head.d_model, branch, "its head stands on vectors of {} numbers", info)
    return branch


def _check_width(width: int, branch: Branch, what: str, info: PredictorInfo) -> None:
    """Raise ModelError where this is not the width of the model's vectors."""
    d_model = branch.embedder.config.d_model
    if width != d_model:
        remedy = f"Name the model that it was trained on ({info.model}) with --model"
        what = f"{what.format(width)}, and the model's have {d_model}"
        raise ModelError(what, where="the predictor", remedy=remedy)
