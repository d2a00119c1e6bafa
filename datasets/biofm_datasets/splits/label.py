"""Labels the sequences of a data set by any method of splitting."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from biofm_datasets.errors import DataError
from biofm_datasets.progress import OnStage
from biofm_datasets.splits.clusters import label_by_cluster
from biofm_datasets.splits.hold_out import Amounts, Keys, PartLabels, hold_out_of_each
from biofm_datasets.splits.identity import label_by_identity
from biofm_datasets.splits.keys import label_groups, label_parts
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.store.files import TRAIN
from biofm_datasets.store.record import Alphabet
from biofm_datasets.store.tokens import TokenStore
from biofm_datasets.text import format_count


class Labels(NamedTuple):
    """Holds the part of each sequence.

    Attributes:
        values: The part of each sequence, as its place in ``PARTS``.
        tool: The tool that found relatives; empty if the method needs none.
        found: What else the store records about the split, such as the number of clusters.
        notices: What a user should know, with counts.
    """

    values: PartLabels
    tool: str = ""
    found: dict[str, Any] = {}  # noqa: RUF012  # never changed
    notices: dict[str, int] = {}  # noqa: RUF012  # never changed


def label_sequences(
    options: SplitOptions,
    tokens: TokenStore,
    alphabet: Alphabet,
    hashes: Keys,
    keys: Keys | None,
    sources: Mapping[str, slice],
    scratch: Path,
    progress: OnStage,
) -> Labels:
    """Return the part of each sequence.

    Args:
        options: How to split.
        tokens: The sequences.
        alphabet: The meaning of their tokens.
        hashes: The hash of each sequence.
        keys: The number from ``key_of_cell`` for each sequence; None if the method needs none.
        sources: The sequences of each input, by its name.
        scratch: The folder for temporary files.
        progress: Called as the search for relatives advances.

    Raises:
        DataError: The data cannot be split like this.
    """
    tool = ""
    found: dict[str, Any] = {}
    held_out_of = sources if options.per_source else {"": slice(0, len(hashes))}
    if options.method == "none":
        labels = np.full(len(hashes), TRAIN, np.uint8)
    elif options.method == "random":
        amounts = Amounts(options.validation, options.test, options.seed)
        labels = hold_out_of_each(hashes, held_out_of, amounts, "sequences")
    elif options.method == "identity":
        labels, tool = label_by_identity(tokens, alphabet, hashes, held_out_of, options, scratch, progress)
    elif options.method == "cluster":
        labels, tool, found = label_by_cluster(
            tokens, alphabet, hashes, held_out_of, options, scratch, progress
        )
    else:
        assert keys is not None, "a column has been read"
        if options.method == "column":
            labels = label_parts(keys)
        else:
            labels, found = label_groups(keys, options)
    if not np.any(labels == TRAIN):
        what, remedy = "nothing is left to train on", "Hold out less, or give more diverse data"
        raise DataError(what, where=f"--split {options.method}", remedy=remedy)
    return Labels(labels, tool, found, _notices(found, len(labels)))


def _notices(found: dict[str, Any], n_sequences: int) -> dict[str, int]:
    """Return the size of the largest cluster, with a remedy if it holds more than half of all sequences."""
    if "n_clusters" not in found:
        return {}
    largest = int(found["largest_cluster"])
    told = f"sequences in the largest of {format_count(found['n_clusters'], 'cluster')}"
    if 2 * largest > n_sequences:
        told += (
            ", which is more than half of all and so stays in training; a higher --max-identity or "
            "--min-coverage makes smaller clusters"
        )
    return {told: largest}
