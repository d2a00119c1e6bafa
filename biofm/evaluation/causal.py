"""Perplexity of a causal model on held-out proteins, beside the same two baselines as a masked one has.

Every standard residue is predicted once, from all that stand before it. Perplexity is exp(mean negative
log-likelihood) over all these residues, with the model's probabilities renormalised over the 20 standard
residues, as the baselines' are.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from biofm.evaluation.perplexity import PRIOR_RESIDUES, HeldOutPerplexity, summarise
from biofm.modalities import Encoded, Tokenizer
from biofm.models.finiteness import not_finite
from biofm.nn import MaskedLM, by_budget, pack_arrays


def causal_perplexity(
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
    tokenizer's order. A protein's own composition is that of the residues before. Raises as
    ``held_out_perplexity`` does.
    """
    assert model.config.causal, "a masked model expects to see what comes behind"
    judge = _Judge(model, unigram, tokenizer, len(sequences))
    ordered = sorted(enumerate(sequences), key=lambda item: len(item[1].tokens))
    n_total, n_done = sum(len(one.tokens) for _, one in ordered), 0
    for members in by_budget(((item, len(item[1].tokens)) for item in ordered), tokens_per_batch):
        judge.add(members)
        n_done += sum(len(one.tokens) for _, one in members)
        progress(n_done, n_total)
    return summarise(judge.losses, judge.n_residues, seed)


class _Judge:
    """Sums negative log-likelihoods, in nats, of the model and its baselines over the residues of each
    protein.
    """

    def __init__(
        self, model: MaskedLM, unigram: NDArray[np.float64], tokenizer: Tokenizer, n_proteins: int
    ) -> None:
        self.model = model
        self.device = model.encoder.embedding.tokens.weight.device
        self.unigram = unigram
        self.item = tokenizer.modality.words.item
        self.scored = torch.from_numpy(tokenizer.scored).long()
        self.code = np.full(len(tokenizer.vocabulary), -1)  # of a token: its place among the standard ones
        self.code[tokenizer.scored] = np.arange(len(tokenizer.scored))
        self.losses = {name: np.zeros(n_proteins) for name in ("model", "unigram", "own_composition")}
        self.n_residues = np.zeros(n_proteins, np.int64)

    def add(self, members: list[tuple[int, Encoded]]) -> None:
        of_model = self._log_likelihoods([one for _, one in members])
        for (number, (tokens, _)), log_p in zip(members, of_model, strict=True):
            if not np.isfinite(log_p).all():
                raise not_finite(self.model, f"held-out {self.item} {number + 1}")
            codes = self.code[tokens[1:]]  # what each token but the last is followed by
            places = np.flatnonzero(codes >= 0)
            residues = codes[places]
            self.n_residues[number] = len(residues)
            self.losses["model"][number] = -log_p[places, residues].sum()
            self.losses["unigram"][number] = -np.log(self.unigram[residues]).sum()
            self.losses["own_composition"][number] = -np.log(self._shares_so_far(residues)).sum()

    def _shares_so_far(self, residues: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each residue its share among those before it and ``PRIOR_RESIDUES`` of the unigram."""
        is_it = residues[:, None] == np.arange(len(self.unigram))
        before = np.cumsum(is_it, axis=0) - is_it + PRIOR_RESIDUES * self.unigram
        shares: NDArray[np.float64] = before[is_it] / before.sum(axis=1)
        return shares

    @torch.inference_mode()
    def _log_likelihoods(self, members: list[Encoded]) -> list[NDArray[np.float64]]:
        """For each sequence, and each of its tokens but the last, of every scored token to be the next."""
        batch = pack_arrays([one.tokens for one in members], [one.values for one in members])
        scores = self.model(batch.to(self.device))[:, self.scored.to(self.device)]
        log_p = scores.float().log_softmax(-1).double().cpu().split(batch.lengths.tolist())
        return [of_protein[:-1].numpy() for of_protein in log_p]
