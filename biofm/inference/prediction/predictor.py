"""A trained predictor at work: each member predicts, and their predictions become one."""

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
from biofm.inference import Compute, Embedder, EmbedOptions, OnBatch, place
from biofm.inference.prediction.domain import Domain, Nearest
from biofm.inference.prediction.files import PredictorFiles, PredictorInfo
from biofm.inference.prediction.heads import Head, embedder_pool
from biofm.modalities import Item
from biofm.models import Checkpoint
from biofm.models.finiteness import not_finite


class Rows(NamedTuple):
    """The vectors that an embedder gives for a chunk of proteins: one a protein or, where ``is_per_residue``,
    one a residue. ``lengths`` are those of the proteins in residues.
    """

    values: Floats
    lengths: NDArray[np.int64]
    is_per_residue: bool

    def of_proteins(self) -> Floats:
        """One vector a protein; where they are of residues, their mean."""
        if not self.is_per_residue:
            return self.values
        return mean_of_residues(self.values, self.lengths)


def mean_of_residues(rows: Floats, lengths: NDArray[np.int64]) -> Floats:
    """One row a protein: the mean of the rows of its residues. The residues of all proteins follow each
    other.
    """
    begins = np.cumsum(lengths) - lengths
    return (np.add.reduceat(rows, begins, axis=0) / lengths[:, None]).astype(np.float32)


def faulty_proteins(outputs: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which proteins have an output that is not finite; ``outputs`` has a row a protein, or one a residue."""
    is_faulty: NDArray[np.bool_] = ~np.isfinite(outputs).all(axis=1)
    if len(is_faulty) == len(lengths):
        return is_faulty
    return np.logical_or.reduceat(is_faulty, np.cumsum(lengths) - lengths)


class Answer(NamedTuple):
    """The ``outputs`` of a head, and the distance of each protein to the nearest training row; None where
    that was not asked for.
    """

    outputs: Floats
    distances: NDArray[np.float64] | None


class Branch(NamedTuple):
    """An encoder and the heads on it. Members of a probe share one branch; other members have one each."""

    embedder: Embedder
    heads: Sequence[Head]

    def rows(self, chunk: Sequence[Item], on_batch: OnBatch = no_progress) -> Rows:
        """The vectors that the heads take, in the order of the chunk."""
        found = self.embedder.embed_new(chunk, {}, on_batch)
        lengths = np.array([item.n_units for item in chunk])
        values = np.concatenate([found[item.key] for item in chunk])
        return Rows(values, lengths, self.embedder.is_per_residue)

    def outputs(self, rows: Rows) -> list[Floats]:
        """The outputs of each head."""
        return [head.outputs(rows.values, rows.lengths) for head in self.heads]

    def check(self, outputs: Sequence[Floats], chunk: Sequence[Item], lengths: NDArray[np.int64]) -> None:
        """Raise ModelError for the first protein with an output that is not finite."""
        for head, of_head in zip(self.heads, outputs, strict=True):
            is_faulty = faulty_proteins(of_head, lengths)
            if is_faulty.any():
                raise not_finite(head.layers, chunk[int(is_faulty.argmax())].where)

    def answer(
        self, records: Iterable[Record], notices: Counter[str], nearest: Nearest | None = None
    ) -> Answer:
        """The outputs of the branch's only head for all records, in order and in memory."""
        (head,) = self.heads
        outputs, distances = [np.empty((0, head.n_outputs), np.float32)], [np.empty(0)]
        for rows in self._stream(records, notices):
            outputs += self.outputs(rows)
            if nearest is not None:
                distances.append(nearest.distances(rows.of_proteins()))
        return Answer(np.concatenate(outputs), None if nearest is None else np.concatenate(distances))

    def vectors(self, records: Iterable[Record], notices: Counter[str]) -> Floats:
        """The vector of each record, in order and in memory."""
        return np.concatenate([rows.of_proteins() for rows in self._stream(records, notices)])

    def _stream(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[Rows]:
        return map(self.rows, self.embedder.chunks(self.embedder.tokenise(records, notices)))


class Combined(NamedTuple):
    """The mean of the members' outputs, and their ``spread``, of the same shape; None where no two members
    were trained on the same rows.
    """

    outputs: Floats
    spread: Floats | None


class Predictions(NamedTuple):
    """Some proteins in the order of the input, and what is ``found``: a row of outputs a protein, or a row a
    residue, one protein after the other.

    ``distances`` are those to the nearest training row; None where the predictor does not know them. Proteins
    that ``are_empty`` have no prediction, because the model's numbers are not finite, and zeros in its place.
    """

    items: list[Item]
    found: Combined
    distances: NDArray[np.float64] | None
    are_empty: NDArray[np.bool_]

    @property
    def lengths(self) -> list[int]:
        """The lengths of the proteins in residues."""
        return [item.n_units for item in self.items]


def combine(outputs: Sequence[Floats], folds: Sequence[int]) -> Combined:
    """The outputs of members, each with its fold, as one.

    The spread is the standard deviation among the members of one fold, which were trained on the same rows:
    an out-of-fold prediction comes from these alone. Over several folds the spread is their mean.
    """
    mean = np.stack(outputs).mean(axis=0, dtype=np.float64)
    pairs = list(zip(outputs, folds, strict=True))
    groups = [[it for it, fold in pairs if fold == one] for one in sorted(set(folds))]
    if min(map(len, groups)) < 2:
        return Combined(mean, None)
    spreads = [np.stack(group).std(axis=0, dtype=np.float64) for group in groups]
    return Combined(mean, np.stack(spreads).mean(axis=0))


class Predictor:
    """What a fine-tuning made: its members, whose outputs become one prediction.

    ``domain`` says which proteins are like those of training; ``nearest`` measures distances in the vectors
    of the first branch. Both are None for a predictor of an earlier biofm.
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
        """The embedder of the first branch, which tokenises and makes chunks for all."""
        return self.branches[0].embedder

    def stream(self, items: Iterable[Item], on_batch: OnBatch = no_progress) -> Iterator[Predictions]:
        """Predictions in the order of ``items``; memory does not grow with their number.

        Raises ModelError or OptionError where the numbers of a protein are not finite, unless the embedder's
        option ``on_error`` is "skip".
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
            yield Predictions(chunk, combine(outputs, self.folds), distances, are_empty)


def open_predictor(
    files: PredictorFiles,
    base: Checkpoint | None,
    compute: Compute,
    *,
    window: int | None = None,
    tokens_per_batch: int | None = None,
    on_error: str = "stop",
) -> Predictor:
    """A predictor from its files and from ``base``, the model that was fine-tuned; None where the predictor
    has whole encoders of its own.

    ``window`` replaces the one with which the predictor was judged. With ``on_error`` "skip", a protein whose
    numbers are not finite has no prediction. Raises ModelError where a file is missing or does not fit, and
    OptionError for a ``window`` that does not suit the model.
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
    return Predictor(info, branches, files.calibration(), files.domain(), nearest)


def open_branch(
    files: PredictorFiles, member: str, base: Checkpoint | None, compute: Compute, options: EmbedOptions
) -> Branch:
    """The branch of a member with its own encoder: one from its files, or a copy of ``base`` with its
    adapter.
    """
    if files.info.has_encoders:
        checkpoint = files.checkpoint(member)
    else:
        assert base is not None, "an adapter stands on a model"
        # Merged in float32, in which the adapter was trained, whatever dtype the model is stored in.
        checkpoint = Checkpoint(base.family, deepcopy(base.module).float(), base.tokenizer)
        files.merge_adapter(member, checkpoint)
    return _checked(Branch(_embedder(checkpoint, compute, options), [files.head(member)]), files.info)


def _embedder(checkpoint: Checkpoint, compute: Compute, options: EmbedOptions) -> Embedder:
    encoder = place(checkpoint.module.encoder, compute)
    return Embedder(encoder, checkpoint.tokenizer, compute, options)


def _checked(branch: Branch, info: PredictorInfo) -> Branch:
    """The branch. Raises ModelError where its model is not the one that the predictor was trained on."""
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
    """Raise ModelError where ``width`` is not that of the model's vectors; ``what`` says it in a message."""
    d_model = branch.embedder.config.d_model
    if width != d_model:
        remedy = f"Name the model that it was trained on ({info.model}) with --model"
        what = f"{what.format(width)}, and the model's have {d_model}"
        raise ModelError(what, where="the predictor", remedy=remedy)
