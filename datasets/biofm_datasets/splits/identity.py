"""Splits data of any size so that no held-out protein has a relative in training."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from biofm_datasets.arrays import Bools, Indices
from biofm_datasets.progress import OnStage
from biofm_datasets.similarity import find_similar
from biofm_datasets.splits import mmseqs
from biofm_datasets.splits.hold_out import Amounts, Keys, PartLabels, hold_out_of_each
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.splits.relatives import (
    CHUNK_TOKENS,
    MAX_HELD_OUT_LENGTH,
    MIN_HELD_OUT_LENGTH,
    OWN_TOOL,
    Search,
    can_be_held_out,
    chunks_of,
    progress_of_step,
)
from biofm_datasets.store.files import REMOVED, TEST, TRAIN, VALIDATION
from biofm_datasets.store.record import Alphabet
from biofm_datasets.store.tokens import TokenStore

MOST_TOKENS_TWICE = 50_000_000
"""The most tokens of sequences that MMseqs2 left over in which biofm's own search looks for relatives that it
missed, which takes minutes.
"""


def label_by_identity(
    tokens: TokenStore,
    alphabet: Alphabet,
    hashes: Keys,
    sources: Mapping[str, slice],
    options: SplitOptions,
    scratch: Path,
    progress: OnStage,
) -> tuple[PartLabels, str]:
    """Label the sequences; return also the tool that found the relatives.

    First, proteins of 30 to 1,022 residues are drawn for the test, copies together. Proteins that are similar
    to any of them, by ``max_identity`` and ``min_coverage`` and a margin (``Similarity.with_margin``), are
    removed. Then proteins for validation are drawn from the rest, and their relatives are removed. So no two
    parts hold relatives; proteins of one part may resemble each other. Neither search finds every pair near
    the limit. Therefore the tool "auto" runs both: MMseqs2's first, where it is installed, then biofm's on
    the rest.

    Raises:
        DataError: So many cannot be held out, or the tool is missing or fails.
    """
    search = Search.of(options, alphabet, scratch, progress)
    things = f"sequences of {MIN_HELD_OUT_LENGTH} to {MAX_HELD_OUT_LENGTH:,} residues"
    labels, tools = np.full(len(hashes), TRAIN, np.uint8), ""
    for part, amount in ((TEST, options.test), (VALIDATION, options.validation)):
        if not amount:
            continue

        def is_free(of: slice) -> Bools:
            free: Bools = labels[of] == TRAIN
            return free

        n_validation, n_test = (amount, 0.0) if part == VALIDATION else (0.0, amount)
        amounts = Amounts(n_validation, n_test, options.seed)
        name = things if part == TEST or not options.test else f"{things} that no test protein resembles"
        drawn = hold_out_of_each(hashes, sources, amounts, name, can_be_held_out(tokens, alphabet), is_free)
        labels[(drawn == part) & (labels == TRAIN)] = part
        held_out, rest = np.flatnonzero(labels == part), np.flatnonzero(labels == TRAIN)
        is_similar, tools = _find(tokens, held_out, rest, search)
        labels[rest[is_similar]] = REMOVED
    return labels, tools


def _find(tokens: TokenStore, held_out: Indices, rest: Indices, search: Search) -> tuple[Bools, str]:
    """Return which of the rest are similar to any held-out protein, and the tools that found them."""
    queries = [search.spell(tokens[i]) for i in held_out]
    is_similar, tools = np.zeros(len(rest), np.bool_), []
    if mmseqs.is_chosen(search.tool):
        others = (search.spell(tokens[i]) for i in rest)
        is_similar = mmseqs.find_similar(
            queries, others, len(rest), search.similarity, search.scratch, search.progress
        )
        tools.append(mmseqs.version())
    left = rest[~is_similar]
    if not tools or (search.tool == "auto" and tokens.lengths(left).sum() <= MOST_TOKENS_TWICE):
        is_similar[~is_similar] = _find_in_chunks(queries, tokens, left, search)
        tools.append(OWN_TOOL)
    return is_similar, ", then ".join(tools)


def _find_in_chunks(queries: list[str], tokens: TokenStore, rest: Indices, search: Search) -> Bools:
    found = [np.empty(0, np.bool_)]
    chunks = list(chunks_of(tokens, rest, CHUNK_TOKENS))
    for number, chunk in enumerate(chunks, start=1):
        report = progress_of_step(search.progress, number, len(chunks))
        others = [search.spell(tokens[i]) for i in chunk]
        found.append(find_similar(queries, others, search.similarity, report))
    return np.concatenate(found)
