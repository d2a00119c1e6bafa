"""A trained predictor applies its members to sequences, and combines their outputs into one prediction."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
from biofm_datasets import Record
from biofm_datasets.arrays import Floats
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.evaluation import Calibration
from biofm.inference import Compute, Embedder, EmbedOptions, OnBatch, place
from biofm.inference.prediction.domain import Domain, Nearest
from biofm.inference.prediction.files import PredictorFiles, PredictorInfo
from biofm.inference.prediction.heads import Head, embedder_pool
from biofm.modalities import Item
from biofm.models import Checkpoint
from biofm.models.finiteness import not_finite


class Rows(NamedTuple):
    """Holds the vectors of a chunk of proteins.

    There is one for each residue where ``is_per_residue``, else one for each protein. ``lengths`` are the
    lengths of the proteins in residues.
    """

    values: Floats
    lengths: NDArray[np.int64]
    is_per_residue: bool

    def of_proteins(self) -> Floats:
        """Return one vector for each protein: its own, or the mean of those of its residues."""
        if not self.is_per_residue:
            return self.values
        return mean_of_residues(self.values, self.lengths)


def mean_of_residues(rows: Floats, lengths: NDArray[np.int64]) -> Floats:
    """Compute the mean of the rows of each protein's residues.

    Args:
        rows: One row for each residue, one protein after the other.
        lengths: The lengths of the proteins in residues.
    """
    begins = np.cumsum(lengths) - lengths
    return (np.add.reduceat(rows, begins, axis=0) / lengths[:, None]).astype(np.float32)


def faulty_proteins(outputs: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which proteins have an output that is not finite; outputs are per protein or per residue."""
    is_faulty: NDArray[np.bool_] = ~np.isfinite(outputs).all(axis=1)
    if len(is_faulty) == len(lengths):
        return is_faulty
    return np.logical_or.reduceat(is_faulty, np.cumsum(lengths) - lengths)


class Answer(NamedTuple):
    """Holds what a head computed for some proteins.

    Attributes:
        outputs: One row of outputs for each protein, or for each residue.
        distances: The distance of each protein to the nearest training row; None where nobody asked for it.
    """

    outputs: Floats
    distances: NDArray[np.float64] | None


class Branch(NamedTuple):
    """Holds an encoder and the heads that read its vectors.

    The members of a probe share one branch; other members have one each.

    Attributes:
        embedder: The embedder, which runs the encoder.
        heads: The heads that read its vectors.
    """

    embedder: Embedder
    heads: Sequence[Head]

    def rows(self, chunk: Sequence[Item], on_batch: OnBatch = no_progress) -> Rows:
        """Compute the vectors that the heads read, in the order of the chunk.

        Args:
            chunk: Items of the input.
            on_batch: Called after each batch with its numbers of tokens and of residues.
        """
        found = self.embedder.embed_new(chunk, {}, on_batch)
        lengths = np.array([item.n_units for item in chunk])
        values = np.concatenate([found[item.key] for item in chunk])
        return Rows(values, lengths, self.embedder.is_per_residue)

    def outputs(self, rows: Rows) -> list[Floats]:
        """Compute the outputs of each head.

        Args:
            rows: The vectors that the heads read.
        """
        return [head.outputs(rows.values, rows.lengths) for head in self.heads]

    def check(self, outputs: Sequence[Floats], chunk: Sequence[Item], lengths: NDArray[np.int64]) -> None:
        """Raise ModelError for the first protein with an output that is not finite.

        Args:
            outputs: The outputs of each head.
            chunk: Items of the input, in the order of the outputs.
            lengths: The lengths of the items in residues.
        """
        for head, of_head in zip(self.heads, outputs, strict=True):
            is_faulty = faulty_proteins(of_head, lengths)
            if is_faulty.any():
                raise not_finite(head.layers, chunk[int(is_faulty.argmax())].where)

    def answer(
        self, records: Iterable[Record], notices: Counter[str], nearest: Nearest | None = None
    ) -> Answer:
        """Compute the outputs of the branch's only head for all records, in order and in memory.

        Args:
            records: The records of the input.
            notices: Counts what a reader of the result should know.
            nearest: Measures the distance of each record to the training rows; None where nobody needs it.
        """
        (head,) = self.heads
        outputs, distances = [np.empty((0, head.n_outputs), np.float32)], [np.empty(0)]
        for rows in self._stream(records, notices):
            outputs += self.outputs(rows)
            if nearest is not None:
                distances.append(nearest.distances(rows.of_proteins()))
        return Answer(np.concatenate(outputs), None if nearest is None else np.concatenate(distances))

    def vectors(self, records: Iterable[Record], notices: Counter[str]) -> Floats:
        """Compute the vector of each record, in order and in memory.

        Args:
            records: The records of the input.
            notices: Counts what a reader of the result should know.
        """
        return np.concatenate([rows.of_proteins() for rows in self._stream(records, notices)])

    def _stream(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[Rows]:
        return map(self.rows, self.embedder.chunks(self.embedder.tokenise(records, notices)))


class Combined(NamedTuple):
    """Holds the combined outputs of all members.

    Attributes:
        outputs: The mean of the members' outputs.
        spread: The standard deviation among members that were trained on the same rows; None if no two were.
    """

    outputs: Floats
    spread: Floats | None


class Predictions(NamedTuple):
    """Holds some proteins of the input, in order, with their predictions.

    Attributes:
        items: The proteins.
        found: One row of outputs for each protein, or for each residue, one protein after the other.
        distances: The distance of each protein to the nearest training row; None where the predictor does not
            know it.
        are_empty: Marks the proteins that have no prediction, because the model's numbers are not finite.
            Zeros stand in their places.
    """

    items: list[Item]
    found: Combined
    distances: NDArray[np.float64] | None
    are_empty: NDArray[np.bool_]

    @property
    def lengths(self) -> list[int]:
        """The lengths of the proteins, which are counted in residues."""
        return [item.n_units for item in self.items]


def combine(outputs: Sequence[Floats], folds: Sequence[int]) -> Combined:
    """Combine the outputs of members: their mean, and the spread among them.

    The spread is the standard deviation among the members of one fold, which were trained on the same rows:
    an out-of-fold prediction comes from these alone. Over several folds, the spread is the mean of theirs.

    Args:
        outputs: The outputs of each member.
        folds: The fold of each member.
    """
    mean = np.stack(outputs).mean(axis=0, dtype=np.float64)
    pairs = list(zip(outputs, folds, strict=True))
    groups = [[it for it, fold in pairs if fold == one] for one in sorted(set(folds))]
    if min(map(len, groups)) < 2:
        return Combined(mean, None)
    spreads = [np.stack(group).std(axis=0, dtype=np.float64) for group in groups]
    return Combined(mean, np.stack(spreads).mean(axis=0))


class Predictor:
    """Predicts with all members that a fine-tuning has trained.

    Args:
        info: What the predictor's file says about it.
        branches: The encoders of the members, with their heads.
        calibration: Turns outputs into intervals and probabilities.
        domain: Decides which proteins are like those of training; None for a predictor of an earlier version
            of biofm.
        nearest: Measures distances in the vectors of the first branch; None for a predictor of an earlier
            version.
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
        """The embedder of the first branch, which tokenises and makes chunks for all branches."""
        return self.branches[0].embedder

    def stream(self, items: Iterable[Item], on_batch: OnBatch = no_progress) -> Iterator[Predictions]:
        """Predict in the order of the items; memory does not grow with their number.

        Args:
            items: The proteins, in any number.
            on_batch: Called after each batch with its numbers of tokens and of residues.

        Raises:
            ModelError: The numbers of a protein are not finite, and the embedder's option ``on_error`` is not
                "skip".
            OptionError: The numbers overflow in this dtype, and ``on_error`` is not "skip"; or a batch is too
                large for the memory.
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
    """Load a predictor from its files.

    Args:
        files: The opened files of the predictor.
        base: The model that was fine-tuned; None if the predictor has whole encoders of its own.
        compute: The device and the dtype in which to predict.
        window: Length of a window in units, instead of the predictor's own. None or 0 keeps its own.
        tokens_per_batch: The most tokens of one batch. None takes the default of the device.
        on_error: What happens to a protein for which the model's numbers are not finite: "skip" leaves its
            prediction empty, "stop" raises an error.

    Raises:
        ModelError: A file is missing or does not fit.
        OptionError: The window does not suit the model.
    """
    info = files.info
    options = EmbedOptions(
        pool=embedder_pool(info.task, info.pool),
        window=window or info.window or None,
        tokens_per_batch=tokens_per_batch,
        on_error=on_error,
    )
    if info.method == "probe":
        assert base is not None, "a probe needs the model that it was trained on"
        heads = [files.head(member.name) for member in info.members]
        branches = [_checked(Branch(_embedder(base, compute, options), heads), info)]
    else:
        branches = [open_branch(files, member.name, base, compute, options) for member in info.members]
    nearest = files.nearest()
    if nearest is not None:
        _check_width(len(nearest.mean), branches[0], "its training rows are kept as vectors", info)
    return Predictor(info, branches, files.calibration(), files.domain(), nearest)


def open_branch(
    files: PredictorFiles, member: str, base: Checkpoint | None, compute: Compute, options: EmbedOptions
) -> Branch:
    """Load the branch of a member that has an encoder of its own.

    The encoder is read from the member's files, or is a copy of ``base`` with the member's adapter.

    Args:
        files: The opened files of the predictor.
        member: The name of the member.
        base: The model that was fine-tuned; None if the member has a whole encoder.
        compute: The device and the dtype in which to predict.
        options: What the embedder takes from the encoder.

    Raises:
        ModelError: A file is missing or does not fit.
        OptionError: The options do not suit the model.
    """
    if files.info.has_encoders:
        checkpoint = files.checkpoint(member)
    else:
        assert base is not None, "an adapter needs the model that it was trained on"
        # The adapter was trained in float32, so it is merged in float32, whatever the dtype of the file.
        checkpoint = Checkpoint(base.family, deepcopy(base.module).float(), base.tokenizer)
        files.merge_adapter(member, checkpoint)
    return _checked(Branch(_embedder(checkpoint, compute, options), [files.head(member)]), files.info)


def _embedder(checkpoint: Checkpoint, compute: Compute, options: EmbedOptions) -> Embedder:
    encoder = place(checkpoint.module.encoder, compute)
    return Embedder(encoder, checkpoint.tokenizer, compute, options)


def _checked(branch: Branch, info: PredictorInfo) -> Branch:
    """Return the branch. Raise ModelError if its model is not the one that the predictor was trained on."""
    tokenizer = branch.embedder.tokenizer
    if info.alphabet_sha256 not in ("", tokenizer.alphabet.sha256):
        alphabet = f"{tokenizer.modality.name}, {tokenizer.name}"
        what = (
            f"it was trained on {info.modality} sequences in another alphabet than the model's ({alphabet})"
        )
        remedy = f"Name the model that it was trained on ({info.model}) with --model"
        raise ModelError(what, where="the predictor", remedy=remedy)
    for head in branch.heads:
        _check_width(head.d_model, branch, "its head reads vectors", info)
    return branch


def _check_width(width: int, branch: Branch, what: str, info: PredictorInfo) -> None:
    """Raise ModelError if the model's vectors do not have this ``width``; ``what`` begins the message."""
    d_model = branch.embedder.config.d_model
    if width != d_model:
        remedy = f"Name the model that it was trained on ({info.model}) with --model"
        what = f"{what} of {width} dimensions, but the model's vectors have {d_model}"
        raise ModelError(what, where="the predictor", remedy=remedy)
