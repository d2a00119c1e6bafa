"""Splits that the data define themselves: a column or a record names the part, or the group, of each
sequence.

Either is kept as one number for each sequence.
"""

from hashlib import blake2b
from typing import Any

import numpy as np

from biofm_datasets.arrays import Hashes
from biofm_datasets.errors import DataError
from biofm_datasets.splits.hold_out import Amounts, Keys, PartLabels, blocks, hold_out
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.store.files import PARTS, TEST, TRAIN, VALIDATION

PART_WORDS = {"train": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "test": TEST}
"""The words for each part in a column, in any case."""


def key_of_cell(cell: str, options: SplitOptions, where: str) -> int:
    """Return the number for a cell of the split's column, or for a record's own group.

    Args:
        cell: The text of the cell, or the group.
        options: The split.
        where: The place of the cell or record, for messages.

    Raises:
        DataError: The cell names no part or no group.
    """
    if options.method == "column":
        part = PART_WORDS.get(cell.lower())
        if part is None:
            what = f"column {options.column!r} holds {cell!r}, which names no part"
            raise DataError(what, where=where, remedy="Write train, validation (also valid, val) or test")
        return part
    if not cell:
        what = f"column {options.column!r} is empty" if options.column else "this record has no group"
        raise DataError(what, where=where, remedy="Name the group, or remove the row")
    return _key_of_group(cell)


def label_parts(keys: Keys) -> PartLabels:
    """Return the labels of sequences whose keys are the parts that a column names."""
    return np.concatenate([keys[block].astype(np.uint8) for block in blocks(len(keys))])


def label_groups(keys: Keys, options: SplitOptions) -> tuple[PartLabels, dict[str, Any]]:
    """Label the sequences by whole groups; return also how many groups each part has.

    Raises:
        DataError: A group that the options name does not exist, or so many groups cannot be held out.
    """
    groups = np.empty(0, np.uint64)
    for block in blocks(len(keys)):
        groups = np.union1d(groups, keys[block])
    labels = hold_out(groups, Amounts(options.validation, options.test, options.seed), "groups")
    for part_label, names in ((VALIDATION, options.validation_groups), (TEST, options.test_groups)):
        for name in names:
            labels[_place(groups, name, options.column)] = part_label
    found = np.empty(len(keys), np.uint8)
    for block in blocks(len(keys)):
        found[block] = labels[np.searchsorted(groups, keys[block])]
    n_groups = {PARTS[label]: int(np.sum(labels == label)) for label in (TRAIN, VALIDATION, TEST)}
    return found, {"n_groups": n_groups}


def _place(groups: Hashes, name: str, column: str) -> int:
    key = np.uint64(_key_of_group(name))
    place = int(np.searchsorted(groups, key))
    if place == len(groups) or groups[place] != key:
        what = f"column {column!r} names no group {name!r}" if column else f"no record has the group {name!r}"
        raise DataError(what, where="--validation-group, --test-group", remedy="Check the spelling")
    return place


def _key_of_group(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
