"""The labels of a split, whatever its method."""

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


class Labels(NamedTuple):
    """``values``: of each sequence the place of its part in ``PARTS``. ``tool``: what found relatives, where
    that was asked for. ``found``: more to be written down. ``notices``: what a reader should know, counted.
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
    """The part of each sequence. ``hashes`` are of the sequences, ``keys`` of what ``key_of_cell`` gave.
    ``sources``: the sequences of each input.

    Raises DataError: the data cannot be split so.
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
    """The largest cluster, and what to do where it holds more than half of all."""
    if "n_clusters" not in found:
        return {}
    largest = int(found["largest_cluster"])
    told = f"sequences in the largest of {found['n_clusters']:,} clusters"
    if 2 * largest > n_sequences:
        told += (
            ", more than half of all, which can only train: chains of relatives join them, and a higher "
            "--max-identity or --min-coverage makes smaller clusters"
        )
    return {told: largest}
