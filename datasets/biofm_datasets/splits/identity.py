"""A split in which no held-out protein has a relative in training, for data of any size."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Indices
from biofm_datasets.progress import OnStage
from biofm_datasets.split import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH, Similarity, find_similar
from biofm_datasets.splits import mmseqs
from biofm_datasets.splits.hold_out import Keys, hold_out_of_each
from biofm_datasets.splits.keys import REMOVED, TEST, TRAIN, VALIDATION
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.store.record import Alphabet
from biofm_datasets.store.tokens import TokenStore

CHUNK_TOKENS = 20_000_000
"""Of sequences that are searched together by our own method, so that memory is flat."""
MOST_TOKENS_TWICE = 50_000_000
"""Left over by MMseqs2, of which our own search looks for what it missed: minutes of work."""
OWN_TOOL = "biofm (spaced seeds and banded alignments)"


def label_by_identity(
    tokens: TokenStore,
    alphabet: Alphabet,
    hashes: Keys,
    sources: Mapping[str, slice],
    options: SplitOptions,
    scratch: Path,
    progress: OnStage,
) -> tuple[NDArray[np.uint8], str]:
    """Labels of the sequences, and the tool that found the relatives.

    Proteins of 30 to 1,022 residues are drawn for the test, copies together, and what is similar to any of
    them, by ``max_identity`` and ``min_coverage`` and a margin (``split.IDENTITY_MARGIN``), is removed. Of
    what is left, those for validation are drawn, and their relatives removed. So no two parts hold relatives;
    proteins of one part may resemble each other. Neither search finds every pair near the limit, so that
    without a choice both are made: MMseqs2's first, where it is installed, and ours of what it leaves.

    Raises DataError: so many cannot be held out; the tool is missing or fails.
    """
    spell = Spelling(alphabet)
    similarity = Similarity(options.max_identity, options.min_coverage).with_margin()
    things = f"sequences of {MIN_HELD_OUT_LENGTH} to {MAX_HELD_OUT_LENGTH:,} residues"
    labels, tools = np.full(len(hashes), TRAIN, np.uint8), ""
    for part, amount in ((TEST, options.test), (VALIDATION, options.validation)):
        if not amount:
            continue

        def is_free(of: slice) -> NDArray[np.bool_]:
            free: NDArray[np.bool_] = labels[of] == TRAIN
            return free

        n_validation, n_test = (amount, 0.0) if part == VALIDATION else (0.0, amount)
        name = things if part == TEST or not options.test else f"{things} that no test protein resembles"
        drawn = hold_out_of_each(
            hashes,
            sources,
            n_validation,
            n_test,
            options.seed,
            name,
            can_be_held_out(tokens, alphabet),
            is_free,
        )
        labels[(drawn == part) & (labels == TRAIN)] = part
        held_out, rest = np.flatnonzero(labels == part), np.flatnonzero(labels == TRAIN)
        is_similar, tools = _find(tokens, held_out, rest, spell, similarity, options, scratch, progress)
        labels[rest[is_similar]] = REMOVED
    return labels, tools


def can_be_held_out(tokens: TokenStore, alphabet: Alphabet) -> Callable[[slice], NDArray[np.bool_]]:
    """Which of a slice have the right length."""
    n_around = Spelling(alphabet).n_around

    def has_length(part: slice) -> NDArray[np.bool_]:
        n_residues = tokens.lengths(part) - n_around
        return (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)

    return has_length


def _find(
    tokens: TokenStore,
    held_out: Indices,
    rest: Indices,
    spell: "Spelling",
    similarity: Similarity,
    options: SplitOptions,
    scratch: Path,
    progress: OnStage,
) -> tuple[NDArray[np.bool_], str]:
    """Which of the rest are similar to any that is held out, and the tools that found it."""
    queries = [spell(tokens[i]) for i in held_out]
    is_similar, tools = np.zeros(len(rest), np.bool_), []
    if mmseqs.is_chosen(options.tool):
        others = (spell(tokens[i]) for i in rest)
        is_similar = mmseqs.find_similar(queries, others, len(rest), similarity, scratch, progress)
        tools.append(mmseqs.version())
    left = rest[~is_similar]
    if not tools or (options.tool == "auto" and tokens.lengths(left).sum() <= MOST_TOKENS_TWICE):
        is_similar[~is_similar] = _find_in_chunks(queries, tokens, left, spell, similarity, progress)
        tools.append(OWN_TOOL)
    return is_similar, ", then ".join(tools)


class Spelling:
    """From tokens to residues as letters; what has none is X, and the special tokens around are nothing."""

    def __init__(self, alphabet: Alphabet) -> None:
        around = (*alphabet.before, *alphabet.behind)
        self.n_around = alphabet.n_special
        letters = (
            "\0" if number in around else token if token.isalpha() and len(token) == 1 else "X"
            for number, token in enumerate(alphabet.tokens)
        )  # fmt: skip
        self._letters = np.frombuffer("".join(letters).encode(), np.uint8)

    def __call__(self, tokens: NDArray[np.unsignedinteger]) -> str:
        return bytes(self._letters[tokens]).replace(b"\0", b"").decode()


def _find_in_chunks(
    queries: list[str],
    tokens: TokenStore,
    rest: Indices,
    spell: Spelling,
    similarity: Similarity,
    progress: OnStage,
) -> NDArray[np.bool_]:
    found = [np.empty(0, np.bool_)]
    chunks = list(chunks_of(tokens, rest, CHUNK_TOKENS))
    for number, chunk in enumerate(chunks, start=1):
        part = f" (part {number} of {len(chunks)})" if len(chunks) > 1 else ""

        def report(stage: str, done: int, total: int, part: str = part) -> None:
            progress(stage + part, done, total)

        found.append(find_similar(queries, [spell(tokens[i]) for i in chunk], similarity, report))
    return np.concatenate(found)


def chunks_of(tokens: TokenStore, members: Indices, n_tokens: int) -> Iterator[Indices]:
    """Members in parts of about so many tokens."""
    ends = np.cumsum(tokens.lengths(members))
    return iter(np.split(members, np.flatnonzero(np.diff(ends // n_tokens)) + 1))
