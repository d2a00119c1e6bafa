"""Masked perplexity on held-out proteins, beside two baselines that need no model.

Every standard residue is predicted once: a protein's residues are dealt at random into seven parts, and each
part is masked in turn while the model sees the rest (a seventh is 14.3 %, close to the 15 % of training).
Perplexity is exp(mean negative log-likelihood) over all these residues, in the sense of Lin et al. 2023,
supplement A.2.4, with the model's probabilities renormalised over the 20 standard residues, as the baselines'
are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from biofm.nn import MaskedLM, by_budget, pack
from biofm.tokenizers import ProteinTokenizer

N_PARTS = 7
PRIOR_RESIDUES = 120  # of 10 to 400 the one that makes the baseline strongest on held-out UniRef90 proteins


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPerplexity:
    """``unigram``: by the residue frequencies of the training set.

    ``own_composition``: by those of the protein itself, counted on the residues that the model sees too and
    ``PRIOR_RESIDUES`` of the unigram, without which a rare residue would cost infinitely much.
    """

    n_sequences: int
    n_residues: int
    model: float
    unigram: float
    own_composition: float


def held_out_perplexity(
    model: MaskedLM,
    sequences: Sequence[str],
    unigram: Float[np.ndarray, "20"],
    tokenizer: ProteinTokenizer,
    *,
    tokens_per_batch: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOutPerplexity:
    """Judge ``model`` on ``sequences``; ``unigram`` are the frequencies of the standard residues in the
    tokenizer's order.
    """
    assert not model.config.causal, "a causal model expects the next residue, not a masked one"
    judge = _Judge(model, unigram, tokenizer)
    proteins = [_deal(tokenizer.encode(sequence), tokenizer, seed, i) for i, sequence in enumerate(sequences)]
    proteins.sort(key=lambda protein: len(protein.tokens))
    n_total, n_done = sum(len(protein.tokens) for protein in proteins), 0
    for members in by_budget(((protein, len(protein.tokens)) for protein in proteins), tokens_per_batch):
        for part in range(N_PARTS):
            judge.add(members, part)
        n_done += sum(len(protein.tokens) for protein in members)
        progress(n_done, n_total)
    return HeldOutPerplexity(
        n_sequences=len(sequences),
        n_residues=judge.n_residues,
        **{name: float(np.exp(loss / max(judge.n_residues, 1))) for name, loss in judge.losses.items()},
    )


def residue_frequencies(tokens: NDArray[np.uint8], tokenizer: ProteinTokenizer) -> Float[np.ndarray, "20"]:
    """Frequencies of the standard residues among ``tokens``; each counted once more than it occurs, so that
    none is zero.
    """
    counts = np.bincount(tokens, minlength=len(tokenizer.vocabulary))[tokenizer.standard] + 1
    frequencies: NDArray[np.float64] = counts / counts.sum()
    return frequencies


class _Protein(NamedTuple):
    """Tokens, and for each the part in which it is masked; -1 for tokens that are no standard residue."""

    tokens: NDArray[np.uint8]
    part: NDArray[np.int64]


def _deal(tokens: NDArray[np.uint8], tokenizer: ProteinTokenizer, seed: int, number: int) -> _Protein:
    """Parts at random, of sizes that differ by at most one."""
    places = np.flatnonzero(np.isin(tokens, tokenizer.standard))
    part = np.full(len(tokens), -1)
    part[np.random.default_rng((seed, number)).permutation(places)] = np.arange(len(places)) % N_PARTS
    return _Protein(tokens, part)


class _Judge:
    """Sums negative log-likelihoods, in nats, of the model and its baselines over the same residues."""

    def __init__(self, model: MaskedLM, unigram: NDArray[np.float64], tokenizer: ProteinTokenizer) -> None:
        self.model = model
        self.device = model.encoder.embedding.tokens.weight.device
        self.unigram = unigram
        self.mask = tokenizer.mask
        self.standard = torch.from_numpy(tokenizer.standard).long()
        self.code = np.full(
            len(tokenizer.vocabulary), -1
        )  # of a token: its place among the standard residues
        self.code[tokenizer.standard] = np.arange(len(tokenizer.standard))
        self.losses = {"model": 0.0, "unigram": 0.0, "own_composition": 0.0}
        self.n_residues = 0

    def add(self, proteins: list[_Protein], part: int) -> None:
        hidden = [protein.tokens[protein.part == part] for protein in proteins]
        self.n_residues += sum(map(len, hidden))
        self.losses["model"] -= self._model_log_likelihood(proteins, part, np.concatenate(hidden))
        for protein, tokens in zip(proteins, hidden, strict=True):
            seen = self.code[protein.tokens[(protein.part >= 0) & (protein.part != part)]]
            counts = np.bincount(seen, minlength=len(self.unigram)) + PRIOR_RESIDUES * self.unigram
            self.losses["unigram"] -= np.log(self.unigram[self.code[tokens]]).sum()
            self.losses["own_composition"] -= np.log(counts[self.code[tokens]] / counts.sum()).sum()

    @torch.inference_mode()
    def _model_log_likelihood(self, proteins: list[_Protein], part: int, hidden: NDArray[np.uint8]) -> float:
        batch = pack([torch.from_numpy(protein.tokens.astype(np.int64)) for protein in proteins])
        rows = (
            torch.from_numpy(np.concatenate([protein.part for protein in proteins]) == part)
            .nonzero()
            .squeeze(1)
        )
        batch.tokens[rows] = self.mask
        vectors = self.model.encoder(batch.to(self.device))[rows.to(self.device)]
        log_p = self.model.logits(vectors)[:, self.standard.to(self.device)].float().log_softmax(-1).cpu()
        return float(log_p.gather(1, torch.from_numpy(self.code[hidden])[:, None]).double().sum())
