"""Masked perplexity on held-out proteins, beside two baselines that need no model.

Every standard residue is predicted once: a protein's residues are dealt at random into seven parts, and each
part is masked in turn while the model sees the rest (a seventh is 14.3 %, close to the 15 % of training).
Perplexity is exp(mean negative log-likelihood) over all these residues, in the sense of Lin et al. 2023,
supplement A.2.4, with the model's probabilities renormalised over the 20 standard residues, as the baselines'
are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from biofm.evaluation.bootstrap import CONFIDENCE, draw_counts
from biofm.modalities import Encoded, Tokenizer, Tokens
from biofm.models.finiteness import not_finite
from biofm.nn import MaskedLM, by_budget, pack_arrays

N_PARTS = 7
N_RESAMPLES = 1000
PRIOR_RESIDUES = 120  # of 10 to 400 the one that makes the baseline strongest on held-out UniRef90 proteins


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPerplexity:
    """``unigram``: by the residue frequencies of the training set.

    ``own_composition``: by those of the protein itself, counted on the residues that the model sees too and
    ``PRIOR_RESIDUES`` of the unigram, without which a rare residue would cost infinitely much.

    ``intervals``: the bounds of each of the three, 95 % by percentiles, of drawing the proteins again and
    again; a single protein has none.
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOutPerplexity:
    """Judge ``model`` on ``sequences``; ``unigram`` are the frequencies of the standard residues in the
    tokenizer's order. Raises ModelError or OptionError where the model's numbers are not finite.
    """
    assert not model.config.causal, "a causal model expects the next residue, not a masked one"
    judge = _Judge(model, unigram, tokenizer, len(sequences))
    proteins = [_deal(sequence, tokenizer, seed, i) for i, sequence in enumerate(sequences)]
    proteins.sort(key=lambda protein: len(protein.tokens))
    n_total, n_done = sum(len(protein.tokens) for protein in proteins), 0
    for members in by_budget(((protein, len(protein.tokens)) for protein in proteins), tokens_per_batch):
        for part in range(N_PARTS):
            judge.add(members, part)
        n_done += sum(len(protein.tokens) for protein in members)
        progress(n_done, n_total)
    return summarise(judge.losses, judge.n_residues, seed)


def summarise(
    losses: Mapping[str, NDArray[np.float64]], n_residues: NDArray[np.int64], seed: int
) -> HeldOutPerplexity:
    """From the summed negative log-likelihoods of each protein, in nats, by the names of the perplexities."""
    n_all = int(n_residues.sum())
    return HeldOutPerplexity(
        n_sequences=len(n_residues),
        n_residues=n_all,
        **{name: float(np.exp(of_protein.sum() / max(n_all, 1))) for name, of_protein in losses.items()},
        intervals=_intervals(losses, n_residues, seed),
    )


def residue_frequencies(
    counts: Int[np.ndarray, " vocabulary"], tokenizer: Tokenizer
) -> Float[np.ndarray, " scored"]:
    """Frequencies of the standard residues, from how often each token occurs; each counted once more, so that
    none is zero.
    """
    of_scored = counts[tokenizer.scored] + 1
    frequencies: NDArray[np.float64] = of_scored / of_scored.sum()
    return frequencies


class _Protein(NamedTuple):
    """Tokens, and for each the part in which it is masked; -1 for tokens that are no standard residue."""

    number: int
    tokens: Tokens
    part: NDArray[np.int64]
    values: NDArray[np.float32] | None


def _deal(sequence: Encoded, tokenizer: Tokenizer, seed: int, number: int) -> _Protein:
    """Parts at random, of sizes that differ by at most one."""
    tokens, values = sequence
    places = np.flatnonzero(np.isin(tokens, tokenizer.scored))
    part = np.full(len(tokens), -1)
    part[np.random.default_rng((seed, number)).permutation(places)] = np.arange(len(places)) % N_PARTS
    return _Protein(number, tokens, part, values)


class _Judge:
    """Sums negative log-likelihoods, in nats, of the model and its baselines over the same residues of each
    protein.
    """

    def __init__(
        self,
        model: MaskedLM,
        unigram: NDArray[np.float64],
        tokenizer: Tokenizer,
        n_proteins: int,
    ) -> None:
        self.model = model
        self.device = model.encoder.embedding.tokens.weight.device
        self.unigram = unigram
        self.item = tokenizer.modality.words.item
        self.mask = tokenizer.mask
        self.scored = torch.from_numpy(tokenizer.scored).long()
        self.code = np.full(
            len(tokenizer.vocabulary), -1
        )  # of a token: its place among the standard residues
        self.code[tokenizer.scored] = np.arange(len(tokenizer.scored))
        self.losses = {name: np.zeros(n_proteins) for name in ("model", "unigram", "own_composition")}
        self.n_residues = np.zeros(n_proteins, np.int64)

    def add(self, proteins: list[_Protein], part: int) -> None:
        hidden = [protein.tokens[protein.part == part] for protein in proteins]
        of_model = self._model_log_likelihood(proteins, part, np.concatenate(hidden))
        bounds = np.cumsum([len(tokens) for tokens in hidden])[:-1]
        for protein, tokens, one in zip(proteins, hidden, np.split(of_model, bounds), strict=True):
            if not np.isfinite(one).all():
                raise not_finite(self.model, f"held-out {self.item} {protein.number + 1}")
            seen = self.code[protein.tokens[(protein.part >= 0) & (protein.part != part)]]
            counts = np.bincount(seen, minlength=len(self.unigram)) + PRIOR_RESIDUES * self.unigram
            self.n_residues[protein.number] += len(tokens)
            self.losses["model"][protein.number] -= one.sum()
            self.losses["unigram"][protein.number] -= np.log(self.unigram[self.code[tokens]]).sum()
            shares = counts[self.code[tokens]] / counts.sum()
            self.losses["own_composition"][protein.number] -= np.log(shares).sum()

    @torch.inference_mode()
    def _model_log_likelihood(
        self, proteins: list[_Protein], part: int, hidden: Tokens
    ) -> NDArray[np.float64]:
        batch = pack_arrays(
            [protein.tokens for protein in proteins], [protein.values for protein in proteins]
        )
        rows = (
            torch.from_numpy(np.concatenate([protein.part for protein in proteins]) == part)
            .nonzero()
            .squeeze(1)
        )
        batch.tokens[rows] = self.mask
        vectors = self.model.encoder(batch.to(self.device))[rows.to(self.device)]
        log_p = self.model.logits(vectors)[:, self.scored.to(self.device)].float().log_softmax(-1).cpu()
        found: NDArray[np.float64] = (
            log_p.gather(1, torch.from_numpy(self.code[hidden])[:, None]).double().numpy()
        )
        return found[:, 0]


def _intervals(
    losses: Mapping[str, NDArray[np.float64]], n_residues: NDArray[np.int64], seed: int
) -> dict[str, tuple[float, float]]:
    """Of each perplexity, from the same drawings of proteins for all."""
    if np.count_nonzero(n_residues) < 2:
        return {}
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in losses}
    for counts in draw_counts(len(n_residues), N_RESAMPLES, seed):
        n_drawn = np.maximum(counts @ n_residues, 1)
        for name, of_protein in losses.items():
            found[name].append(np.exp(counts @ of_protein / n_drawn))
    quantiles = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    bounds = {name: np.quantile(np.concatenate(values), quantiles) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
