"""Contacts: the probability that two residues touch, as one map a protein, in the order of the input."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from biofm_datasets.protein import count_residues
from numpy.typing import NDArray

from biofm.core.bounds import check_bound
from biofm.core.errors import InputError
from biofm.core.outputs import ProvenanceFields, is_empty
from biofm.core.progress import no_progress
from biofm.inference.compute import Compute
from biofm.inference.engine import Engine, OnBatch, pack_sequences
from biofm.inference.limits import check_memory_of_item, longest_of, run_whole
from biofm.inference.results import EMPTY_ROWS
from biofm.modalities import Item, Tokenizer, items_of
from biofm.modalities.records import SKIPPED
from biofm.models.finiteness import are_faulty, not_finite
from biofm.nn import MaskedLM, by_budget

PAIR_BYTES = 20
"""Memory that a pair of residues takes while its map is made."""
LONGEST = 10_000
"""Residues of the longest protein. Its map takes 0.4 GB and 2 GB while it is made; both grow with the square
of the length."""


@dataclass(frozen=True, slots=True)
class ContactMap:
    """The contacts of one protein.

    ``record``: its number in the input, from 1. ``sequence``: a letter a residue, X for a masked one.
    ``probabilities``: float32 (residues, residues), symmetric; NaN where the model's numbers are not finite.
    """

    id: str
    record: int
    sequence: str
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactMaps:
    """Maps in the order of the input. ``notices`` counts everything that was changed or skipped."""

    maps: list[ContactMap]
    provenance: ProvenanceFields
    notices: dict[str, int]


class ContactMapper(Engine):
    """A model with a contact head, made ready by ``place``."""

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
        """The most residues of a protein: as memory or, if fewer, the model's learned positions hold."""
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
        """Predict maps in the order of ``records``, one batch of them in memory.

        Neighbours in the input run together: a packed batch has no padding that sorting by length would save.
        Where the model's numbers for a protein are not finite, its map is NaN if ``on_error`` is "skip", and
        ModelError or OptionError is raised if it is "stop".
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
        """Items with their numbers of tokens. Raises InputError for one that is too long for the memory."""
        longest, units = self.config.trained_length, self.tokenizer.modality.words.units
        for item in items_of(records, self.tokenizer, notices):
            n_tokens = len(item.tokens)
            check_memory_of_item(item, PAIR_BYTES * n_tokens**2, self.device, units)
            if n_tokens > longest:
                notices[run_whole(longest, self.tokenizer)] += 1
            yield item, n_tokens

    @torch.inference_mode()
    def _predict(self, members: list[Item]) -> list[NDArray[np.float32]]:
        """The maps of one batch, (residues, residues) each."""
        longest, words = max(item.n_units for item in members), self.tokenizer.modality.words
        what = f"a batch with one of {longest:,} {words.units}"
        remedy = f"Give less; where one {words.item} alone is too long, give --device cpu"
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
    """Pass on the records of at most ``longest`` residues.

    A longer one is counted in ``notices`` and left out if ``on_error`` is "skip"; else InputError is raised.
    """
    for record in records:
        n_residues = count_residues(record.sequence)
        if n_residues <= longest:
            yield record
        elif on_error == "skip":
            notices[SKIPPED] += 1
        else:
            what = f"{n_residues:,} residues; this model's contacts are predicted for at most {longest:,}"
            remedy = "Cut it into its domains, or pass --on-error skip"
            raise InputError(what, where=record.where, remedy=remedy)


def residue_letters(sequence: str) -> str:
    """The sequence with one letter a residue: X for a masked one, which is spelled <mask>."""
    return sequence.replace("<mask>", "X")
