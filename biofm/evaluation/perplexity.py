"""Perplexity: language models are measured on held-out sequences, beside two baselines that need no model.

Perplexity is exp(mean negative log-likelihood) over all standard units (the 20 amino acids of a protein). The
model's probabilities are renormalised over the standard units, as those of the baselines are. Every unit is
predicted once.

A masked model predicts a sequence in seven passes (Lin et al. 2023, supplement A.2.4): the units are divided
at random into seven parts, and each part is masked in turn while the model sees the rest. A seventh is 14.3
%, close to the 15 % of training. A causal model predicts each unit from all units before it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from biofm_datasets.progress import no_progress
from jaxtyping import Float, Int
from numpy.typing import NDArray

from biofm.evaluation.bootstrap import CONFIDENCE, draw_counts
from biofm.modalities import Encoded, Tokenizer, Tokens
from biofm.models.finiteness import not_finite
from biofm.nn import MaskedLM, by_budget, pack_arrays

N_PARTS = 7
N_RESAMPLES = 1000
PRIOR_RESIDUES = 120  # among 10 to 400 the best of this baseline on held-out UniRef90 proteins


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPerplexity:
    """Holds the perplexity of a model and of two baselines over the same standard units.

    Attributes:
        n_sequences: Number of held-out sequences.
        n_residues: Number of standard units (residues of a protein) that are predicted.
        model: Perplexity of the model.
        unigram: Perplexity of a baseline that predicts each unit by its frequency in the training set.
        own_composition: Perplexity of a baseline that predicts each unit by its frequency in the same
            sequence, counted on the units that the model sees too, plus ``PRIOR_RESIDUES`` units of the
            unigram. Without these a rare unit would have the probability 0.
        intervals: 95 % percentile interval of each of the three, by its name, from resamples of the
            sequences; empty if only one sequence has standard units.
    """

    n_sequences: int
    n_residues: int
    model: float
    unigram: float
    own_composition: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def held_out_perplexity(
    model: MaskedLM,
    sequences: Sequence[Encoded],
    unigram: Float[np.ndarray, " scored"],
    tokenizer: Tokenizer,
    *,
    tokens_per_batch: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = no_progress,
) -> HeldOutPerplexity:
    """Measure the perplexity of a masked or causal model and of its baselines.

    For a causal model, the composition of a sequence is counted on the units before the predicted one.

    Args:
        model: The model.
        sequences: Held-out sequences as tokens.
        unigram: Frequency of each standard unit in the training set, in the tokenizer's order.
        tokenizer: The tokenizer of the sequences.
        tokens_per_batch: Most tokens of one batch.
        seed: Seed of the seven parts and of the resamples.
        progress: Called with the number of tokens done and of all tokens.

    Raises:
        ModelError: The model's outputs are not finite.
        OptionError: The model's outputs are not finite in the dtype that was chosen.
    """
    losses: _Losses
    if model.config.causal:
        losses = _CausalLosses(model, unigram, tokenizer, len(sequences))
        numbered = [_Sequence(i, *sequence) for i, sequence in enumerate(sequences)]
    else:
        losses = _MaskedLosses(model, unigram, tokenizer, len(sequences))
        numbered = [_deal(sequence, tokenizer, seed, i) for i, sequence in enumerate(sequences)]
    return _measure(losses, numbered, tokens_per_batch, seed, progress)


def residue_frequencies(
    counts: Int[np.ndarray, " vocabulary"], tokenizer: Tokenizer
) -> Float[np.ndarray, " scored"]:
    """Compute the frequency of each standard unit. Each unit is counted once more than it occurs, so that no
    frequency is 0.

    Args:
        counts: Number of occurrences of each token.
        tokenizer: The tokenizer whose tokens were counted.
    """
    of_scored = counts[tokenizer.scored] + 1
    frequencies: NDArray[np.float64] = of_scored / of_scored.sum()
    return frequencies


class _Sequence(NamedTuple):
    """Holds a held-out sequence.

    ``part`` says for each token in which pass it is masked; -1 for a token that is no standard unit. A causal
    model masks nothing and has no parts.
    """

    number: int
    tokens: Tokens
    values: NDArray[np.float32] | None
    part: NDArray[np.int64] = np.empty(0, np.int64)


def _deal(sequence: Encoded, tokenizer: Tokenizer, seed: int, number: int) -> _Sequence:
    """Divide the standard units at random into parts whose sizes differ by at most one."""
    tokens, values = sequence
    places = np.flatnonzero(np.isin(tokens, tokenizer.scored))
    part = np.full(len(tokens), -1)
    part[np.random.default_rng((seed, number)).permutation(places)] = np.arange(len(places)) % N_PARTS
    return _Sequence(number, tokens, values, part)


def _measure(
    losses: "_Losses",
    sequences: Sequence[_Sequence],
    tokens_per_batch: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> HeldOutPerplexity:
    """Run all sequences through the model in batches of at most ``tokens_per_batch`` tokens."""
    ordered = sorted(sequences, key=lambda one: len(one.tokens))
    n_total, n_done = sum(len(one.tokens) for one in ordered), 0
    for batch in by_budget(((one, len(one.tokens)) for one in ordered), tokens_per_batch):
        losses.add(batch)
        n_done += sum(len(one.tokens) for one in batch)
        progress(n_done, n_total)
    return losses.perplexity(seed)


class _Losses(ABC):
    """Sums the negative log-likelihoods, in nats, of the model and its baselines over the same units of each
    sequence.
    """

    def __init__(
        self, model: MaskedLM, unigram: NDArray[np.float64], tokenizer: Tokenizer, n_sequences: int
    ) -> None:
        self.model = model
        self.device = model.encoder.embedding.tokens.weight.device
        self.unigram = unigram
        self.item = tokenizer.modality.words.item
        self.mask = tokenizer.mask
        self.scored = torch.from_numpy(tokenizer.scored).long()
        self.code = np.full(len(tokenizer.vocabulary), -1)  # place of each token among the standard units
        self.code[tokenizer.scored] = np.arange(len(tokenizer.scored))
        self.sums = {name: np.zeros(n_sequences) for name in ("model", "unigram", "own_composition")}
        self.n_units = np.zeros(n_sequences, np.int64)

    @abstractmethod
    def add(self, batch: list[_Sequence]) -> None:
        """Predict every standard unit of these sequences once."""

    def perplexity(self, seed: int) -> HeldOutPerplexity:
        """Return the perplexities with the intervals of the resamples."""
        n_all = int(self.n_units.sum())
        return HeldOutPerplexity(
            n_sequences=len(self.n_units),
            n_residues=n_all,
            **{name: float(np.exp(of.sum() / max(n_all, 1))) for name, of in self.sums.items()},
            intervals=_intervals(self.sums, self.n_units, seed),
        )

    def _count(
        self,
        number: int,
        codes: NDArray[np.int64],
        log_p: NDArray[np.float64],
        own_shares: NDArray[np.float64],
    ) -> None:
        """Count some units of a sequence: their codes, the model's log-likelihoods, and their shares in the
        sequence's own composition.
        """
        self.n_units[number] += len(codes)
        self.sums["model"][number] -= log_p.sum()
        self.sums["unigram"][number] -= np.log(self.unigram[codes]).sum()
        self.sums["own_composition"][number] -= np.log(own_shares).sum()

    def _refuse_not_finite(self, log_p: NDArray[np.float64], number: int) -> None:
        if not np.isfinite(log_p).all():
            raise not_finite(self.model, f"held-out {self.item} {number + 1}")


class _MaskedLosses(_Losses):
    """Sums the losses of a masked model, which predicts the seven parts of a sequence one after the other."""

    def add(self, batch: list[_Sequence]) -> None:
        for part in range(N_PARTS):
            self._add_part(batch, part)

    def _add_part(self, batch: list[_Sequence], part: int) -> None:
        hidden = [self.code[one.tokens[one.part == part]] for one in batch]
        of_model = self._log_likelihoods(batch, part, np.concatenate(hidden))
        bounds = np.cumsum([len(codes) for codes in hidden])[:-1]
        for one, codes, log_p in zip(batch, hidden, np.split(of_model, bounds), strict=True):
            self._refuse_not_finite(log_p, one.number)
            seen = self.code[one.tokens[(one.part >= 0) & (one.part != part)]]
            counts = np.bincount(seen, minlength=len(self.unigram)) + PRIOR_RESIDUES * self.unigram
            self._count(one.number, codes, log_p, counts[codes] / counts.sum())

    @torch.inference_mode()
    def _log_likelihoods(
        self, batch: list[_Sequence], part: int, hidden: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Mask a part of every sequence, and return the log-likelihoods of its units, whose codes are
        ``hidden``.
        """
        packed = pack_arrays([one.tokens for one in batch], [one.values for one in batch])
        is_hidden = torch.from_numpy(np.concatenate([one.part for one in batch]) == part)
        rows = is_hidden.nonzero().squeeze(1)
        packed.tokens[rows] = self.mask
        vectors = self.model.encoder(packed.to(self.device))[rows.to(self.device)]
        log_p = self.model.logits(vectors)[:, self.scored.to(self.device)].float().log_softmax(-1).cpu()
        found: NDArray[np.float64] = log_p.gather(1, torch.from_numpy(hidden)[:, None]).double().numpy()
        return found[:, 0]


class _CausalLosses(_Losses):
    """Sums the losses of a causal model, which predicts each unit from the units before it."""

    def add(self, batch: list[_Sequence]) -> None:
        for one, log_p in zip(batch, self._log_likelihoods(batch), strict=True):
            self._refuse_not_finite(log_p, one.number)
            following = self.code[one.tokens[1:]]  # the code that follows each token except the last
            places = np.flatnonzero(following >= 0)
            codes = following[places]
            self._count(one.number, codes, log_p[places, codes], self._shares_so_far(codes))

    def _shares_so_far(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of each unit among the units before it and ``PRIOR_RESIDUES`` of the unigram."""
        is_it = codes[:, None] == np.arange(len(self.unigram))
        before = np.cumsum(is_it, axis=0) - is_it + PRIOR_RESIDUES * self.unigram
        shares: NDArray[np.float64] = before[is_it] / before.sum(axis=1)
        return shares

    @torch.inference_mode()
    def _log_likelihoods(self, batch: list[_Sequence]) -> list[NDArray[np.float64]]:
        """Return for each token except the last of a sequence the log-likelihood of every standard unit to
        follow.
        """
        packed = pack_arrays([one.tokens for one in batch], [one.values for one in batch])
        scores = self.model(packed.to(self.device))[:, self.scored.to(self.device)]
        log_p = scores.float().log_softmax(-1).double().cpu().split(packed.lengths.tolist())
        return [of_sequence[:-1].numpy() for of_sequence in log_p]


def _intervals(
    sums: Mapping[str, NDArray[np.float64]], n_units: NDArray[np.int64], seed: int
) -> dict[str, tuple[float, float]]:
    """Compute the interval of each perplexity, all from the same resamples of the sequences."""
    if np.count_nonzero(n_units) < 2:
        return {}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sums}
    for counts in draw_counts(len(n_units), N_RESAMPLES, seed):
        n_drawn = np.maximum(counts @ n_units, 1)
        for name, of_sequence in sums.items():
            found[name].append(np.exp(counts @ of_sequence / n_drawn))
    quantiles = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    bounds = {name: np.quantile(np.concatenate(values), quantiles) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
