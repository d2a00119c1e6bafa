"""How good a language model is on what was held out, beside its baselines."""

import numpy as np
from biofm_datasets.store import Store, TokenStore
from numpy.typing import NDArray

from biofm.core.progress import RunProgress
from biofm.evaluation import HeldOutPerplexity, causal_perplexity, held_out_perplexity, residue_frequencies
from biofm.inference import Compute
from biofm.modalities import Encoded, Tokenizer
from biofm.models import Checkpoint

BLOCK_TOKENS = 1 << 24

Members = NDArray[np.int64]


def judge(
    store: Store,
    checkpoint: Checkpoint,
    unigram: NDArray[np.float64],
    compute: Compute,
    progress: RunProgress,
) -> dict[str, HeldOutPerplexity]:
    """Perplexities on the sequences of each source that are for the test, of those that have any."""
    perplexity = causal_perplexity if checkpoint.module.config.causal else held_out_perplexity
    tokenizer, results = checkpoint.tokenizer, {}
    for source, members in zip(store.record.sources, store.pools("test"), strict=True):
        if len(members):
            results[source.name] = perplexity(
                checkpoint.module,
                [Encoded(store.tokens[i], store.tokens.values_of(i)) for i in members],
                unigram,
                tokenizer,
                tokens_per_batch=compute.tokens_per_batch,
                progress=lambda done, total: progress("judging", done, total),
            )
    return results


def training_unigram(store: Store, tokenizer: Tokenizer) -> NDArray[np.float64]:
    """How frequent each standard residue is in what is trained on."""
    n_tokens = len(tokenizer.vocabulary)
    others = [members for part, members in store.split.items() if part != "train"]
    counts = _count_all(store.tokens, n_tokens) - sum(_count(store.tokens, part, n_tokens) for part in others)
    return residue_frequencies(counts, tokenizer)


def _count_all(store: TokenStore, n_tokens: int) -> NDArray[np.int64]:
    counts = np.zeros(n_tokens, np.int64)
    for first in range(0, len(store.tokens), BLOCK_TOKENS):
        counts += np.bincount(store.tokens[first : first + BLOCK_TOKENS], minlength=n_tokens)
    return counts


def _count(store: TokenStore, members: Members, n_tokens: int) -> NDArray[np.int64]:
    counts = np.zeros(n_tokens, np.int64)
    for i in members:
        counts += np.bincount(store[i], minlength=n_tokens)
    return counts
