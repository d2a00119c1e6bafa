"""Contacts: this module predicts the probability that two residues touch, as one map for each protein."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from biofm_datasets.progress import no_progress
from biofm_datasets.protein import count_residues
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.bounds import check_bound
from biofm.core.errors import InputError
from biofm.core.outputs import ProvenanceFields, is_empty
from biofm.inference.compute import Compute
from biofm.inference.engine import Engine, OnBatch, pack_sequences
from biofm.inference.limits import check_memory_of_item, longest_of, run_whole
from biofm.inference.results import EMPTY_ROWS
from biofm.modalities import Item, Tokenizer, items_of
from biofm.modalities.records import note_skipped
from biofm.models.finiteness import are_faulty, not_finite
from biofm.nn import MaskedLM, by_budget

PAIR_BYTES = 20
"""The bytes that each pair of residues takes while its map is made."""
LONGEST = 10_000
"""The most residues of a protein. Its map takes 0.4 GB, and 2 GB while it is made; both grow with the square
of the length."""


@dataclass(frozen=True, slots=True)
class ContactMap:
    """Holds the contacts of one protein.

    Attributes:
        id: The protein's id in the input.
        record: The number of the record in the input, from 1.
        sequence: One letter for each residue; X for a masked one.
        probabilities: A symmetric matrix of shape (residues, residues). It is NaN where the model's numbers
            are not finite.
    """

    id: str
    record: int
    sequence: str
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactMaps:
    """Holds the maps of an input, in the order of the input.

    Attributes:
        maps: One map for each record.
        provenance: How the maps were made.
        notices: What was changed or skipped, as a phrase and how often it happened.
    """

    maps: list[ContactMap]
    provenance: ProvenanceFields
    notices: dict[str, int]


class ContactMapper(Engine):
    """Predicts contacts with a model that has a contact head.

    Args:
        model: The model, made ready by ``place``.
        tokenizer: The model's tokenizer, which must put one special token at each end.
        compute: The device and the dtype of the model.
        tokens_per_batch: The most tokens of one batch. None takes the default of the device.
    """

    def __init__(
        self,
        model: MaskedLM,
        tokenizer: Tokenizer,
        compute: Compute,
        tokens_per_batch: int | None = None,
    ) -> None:
        assert model.contacts is not None, "a model without a contact head predicts no contacts"
        is_framed = len(tokenizer.before) == len(tokenizer.behind) == 1
        assert is_framed, "contact heads leave out one token at each end"
        check_bound("tokens_per_batch", tokens_per_batch, "--tokens-per-batch")
        super().__init__(model.encoder.config, compute, tokens_per_batch)
        self.model = model
        self.encoder = model.encoder
        self.head = model.contacts
        self.tokenizer = tokenizer

    @property
    def longest(self) -> int:
        """The most residues that a protein may have. Memory limits them, or the model's learned positions."""
        longest = longest_of(self.config, self.tokenizer)
        return LONGEST if longest is None else min(LONGEST, longest)

    def stream(
        self,
        records: Iterable[Record],
        notices: Counter[str],
        on_batch: OnBatch = no_progress,
        *,
        on_error: str = "stop",
    ) -> Iterator[ContactMap]:
        """Predict maps in the order of the records, with one batch in memory at a time.

        Batches hold neighbours of the input: a packed batch has no padding, so sorting by length would save
        nothing.

        Args:
            records: The proteins, in any number.
            notices: Counts what a reader of the maps should know.
            on_batch: Called after each batch with its numbers of tokens and of residues.
            on_error: What happens to a protein for which the model's numbers are not finite: "skip" gives it
                a map of NaN, "stop" raises an error.

        Raises:
            InputError: A protein is too long for the memory.
            ModelError: The model's weights are not finite, and ``on_error`` is "stop".
            OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too
                large for the memory.
        """
        for members in by_budget(self._tokenise(records, notices), self.tokens_per_batch):
            maps = self._predict(members)
            n_tokens = sum(len(item.tokens) for item in members)
            on_batch(n_tokens, n_tokens - self.tokenizer.n_special * len(members))
            for item, probabilities in zip(members, maps, strict=True):
                if is_empty(probabilities):
                    if on_error == "stop":
                        raise not_finite(self.model, item.where)
                    notices[EMPTY_ROWS] += 1
                yield ContactMap(item.id, item.record, residue_letters(item.text), probabilities)

    def _tokenise(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[tuple[Item, int]]:
        """Yield items with their numbers of tokens. Raise InputError for one too long for the memory."""
        longest, units = self.config.trained_length, self.tokenizer.modality.words.units
        for item in items_of(records, self.tokenizer, notices):
            n_tokens = len(item.tokens)
            check_memory_of_item(item, PAIR_BYTES * n_tokens**2, self.device, units)
            if n_tokens > longest:
                notices[run_whole(longest, self.tokenizer)] += 1
            yield item, n_tokens

    @torch.inference_mode()
    def _predict(self, members: list[Item]) -> list[NDArray[np.float32]]:
        """Compute the contact maps of one batch."""
        longest, words = max(item.n_units for item in members), self.tokenizer.modality.words
        longest_one = format_count(longest, words.unit, words.units)
        what = f"a batch whose longest {words.item} has {longest_one}"
        remedy = f"Give fewer tokens; if one {words.item} alone is too long, give --device cpu"
        batch = pack_sequences(members)
        with self.out_of_memory(what, remedy):
            maps = self.head(self.encoder, batch.to(self.device))
        sums = torch.stack([probabilities.sum() for probabilities in maps])
        found = [probabilities.cpu().numpy() for probabilities in maps]
        for place in np.flatnonzero(are_faulty(sums)):
            found[place][:] = np.nan
        return found


def short_enough(
    records: Iterable[Record], longest: int, notices: Counter[str], *, on_error: str
) -> Iterator[Record]:
    """Pass on the records that are short enough.

    Args:
        records: The records to look at.
        longest: The most residues that a record may have.
        notices: Counts the records that are left out.
        on_error: What happens to a longer record: "skip" leaves it out, "stop" raises an error.

    Raises:
        InputError: A record is longer, and ``on_error`` is "stop".
    """
    for record in records:
        n_residues = count_residues(record.sequence)
        if n_residues <= longest:
            yield record
            continue
        n = format_count(n_residues, "residue")
        what = f"{n}; contacts can be predicted for at most {longest:,} with this model"
        remedy = "Cut the protein into its domains, or skip it with --on-error skip"
        fault = InputError(what, where=record.where, remedy=remedy)
        if on_error == "stop":
            raise fault
        note_skipped(fault, notices)


def residue_letters(sequence: str) -> str:
    """Return the sequence with one letter for each residue: a masked one, spelled <mask>, becomes X."""
    return sequence.replace("<mask>", "X")
