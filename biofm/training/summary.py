"""Summary of a pretraining: it includes the perplexity of the model on held-out sequences."""

from dataclasses import dataclass, field

import numpy as np
from biofm_datasets.store import Store, TokenStore
from numpy.typing import NDArray

from biofm.core.progress import RunProgress
from biofm.evaluation import HeldOutPerplexity, held_out_perplexity, residue_frequencies
from biofm.inference import Compute
from biofm.modalities import Encoded, Tokenizer
from biofm.models import Checkpoint

BLOCK_TOKENS = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSummary:
    """Holds the results of a pretraining.

    Attributes:
        model: The folder of the trained model.
        n_parameters: Parameters of the model.
        n_train: Sequences in the training part.
        n_removed: Sequences left out of training because they resemble held-out ones.
        dtype: The number format of the products.
        dtype_reason: Why this format was chosen.
        held_out: The perplexities of the model and of its baselines, by the name of each source.
        best_step: The step whose weights the model has; 0 if nothing was trained.
        notices: Sentences on what was changed or left out, each with its count.
    """

    model: str
    n_parameters: int
    n_train: int
    n_removed: int
    dtype: str
    dtype_reason: str
    held_out: dict[str, HeldOutPerplexity]
    best_step: int = 0
    notices: dict[str, int] = field(default_factory=dict)


def measure_perplexity(
    store: Store,
    checkpoint: Checkpoint,
    unigram: NDArray[np.float64],
    compute: Compute,
    progress: RunProgress,
) -> dict[str, HeldOutPerplexity]:
    """Measure the perplexity of the model and of baselines on the test part of each source that has one.

    ``unigram`` holds the frequencies of the standard residues in training, which make one of the baselines.
    """
    tokenizer, results = checkpoint.tokenizer, {}
    for source, members in zip(store.record.sources, store.pools("test"), strict=True):
        if len(members):
            results[source.name] = held_out_perplexity(
                checkpoint.module,
                [Encoded(store.tokens[i], store.tokens.values_of(i)) for i in members],
                unigram,
                tokenizer,
                tokens_per_batch=compute.tokens_per_batch,
                progress=lambda done, total: progress("judging", done, total),
            )
    return results


def training_unigram(store: Store, tokenizer: Tokenizer) -> NDArray[np.float64]:
    """Compute the frequency of each standard residue in the training part of the store."""
    n_tokens = len(tokenizer.vocabulary)
    others = [members for part, members in store.split.items() if part != "train"]
    counts = _count_all(store.tokens, n_tokens) - sum(_count(store.tokens, part, n_tokens) for part in others)
    return residue_frequencies(counts, tokenizer)


def _count_all(store: TokenStore, n_tokens: int) -> NDArray[np.int64]:
    """Count each token in the store, which is read block by block."""
    counts = np.zeros(n_tokens, np.int64)
    for first in range(0, len(store.tokens), BLOCK_TOKENS):
        counts += np.bincount(store.tokens[first : first + BLOCK_TOKENS], minlength=n_tokens)
    return counts


def _count(store: TokenStore, members: NDArray[np.int64], n_tokens: int) -> NDArray[np.int64]:
    """Count each token in these sequences of the store."""
    counts = np.zeros(n_tokens, np.int64)
    for i in members:
        counts += np.bincount(store[i], minlength=n_tokens)
    return counts
