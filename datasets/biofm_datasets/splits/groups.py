"""Leave groups out: every sequence of a group is on one side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.errors import DataError
from biofm_datasets.splits.hold_out import Keys, blocks, hold_out
from biofm_datasets.splits.keys import TEST, TRAIN, VALIDATION, key_of_group
from biofm_datasets.splits.options import SplitOptions


def label_groups(keys: Keys, options: SplitOptions) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Labels of the sequences, and how many groups there are in each part.

    Raises DataError: a group that was named is not there, or so many cannot be held out.
    """
    groups = np.empty(0, np.uint64)
    for part in blocks(len(keys)):
        groups = np.union1d(groups, keys[part])
    labels = hold_out(groups, options.validation, options.test, options.seed, "groups")
    for part_label, names in ((VALIDATION, options.validation_groups), (TEST, options.test_groups)):
        for name in names:
            labels[_place(groups, name, options.column)] = part_label
    found = np.empty(len(keys), np.uint8)
    for part in blocks(len(keys)):
        found[part] = labels[np.searchsorted(groups, keys[part])]
    n_groups = {name: int(np.sum(labels == label)) for name, label in _NAMES.items()}
    return found, {"n_groups": n_groups}


_NAMES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def _place(groups: NDArray[np.uint64], name: str, column: str) -> int:
    key = np.uint64(key_of_group(name))
    place = int(np.searchsorted(groups, key))
    if place == len(groups) or groups[place] != key:
        what = f"column {column!r} names no group {name!r}" if column else f"no record is of a group {name!r}"
        raise DataError(what, where="--validation-group, --test-group", remedy="Check the spelling")
    return place
