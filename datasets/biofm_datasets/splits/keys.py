"""What a split goes by, as one number for each sequence: a part, or a group."""

from hashlib import blake2b

from biofm_datasets.errors import DataError
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.store.files import PARTS

TRAIN, VALIDATION, TEST, REMOVED = range(len(PARTS))

PART_WORDS = {"train": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "test": TEST}
"""How a column may write them, in any case."""


def key_of_cell(cell: str, options: SplitOptions, where: str) -> int:
    """The number for a cell of the split's column, or for a record's own group, which stands at ``where``.

    Raises DataError: it names no part, or no group.
    """
    if options.method == "column":
        part = PART_WORDS.get(cell.lower())
        if part is None:
            what = f"column {options.column!r} holds {cell!r}"
            raise DataError(what, where=where, remedy="Write train, validation (also valid, val) or test")
        return part
    if not cell:
        what = f"column {options.column!r} is empty" if options.column else "this record is of no group"
        raise DataError(what, where=where, remedy="Name the group, or remove the row")
    return key_of_group(cell)


def key_of_group(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
