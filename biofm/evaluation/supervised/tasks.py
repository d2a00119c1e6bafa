"""Tasks: a model can predict numbers, one class of several, several labels at once, or a letter for every
residue.

If the user does not name the task, the cells of the target columns imply it.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, get_args

from biofm_datasets.columns import parse_number
from biofm_datasets.text import MISSING

from biofm.core.choices import Task
from biofm.core.errors import InputError, OptionError

TASKS: tuple[Task, ...] = get_args(Task)
AUTO = "auto"

TRUTHS = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}
"""Spellings of a label in lower case; "1.0" and similar ones are read as numbers."""

NO_CLASS = frozenset({"", "na", "n/a", "nan", "<na>"})
"""Spellings of an empty cell among words; "none" and "null" can be classes."""

MOST_INTEGERS = 10  # at most this many different whole numbers are classes
ROWS_PER_INTEGER = 5
MOST_LETTERS = 32  # an alphabet of residue labels has at most this many letters
SHORTEST_DIGITS = 8  # this many digits with one for each residue are labels, not a number
SHARE_OF_LENGTHS = 0.9


class FoundTask(NamedTuple):
    """Holds a task and the reason for it, as a phrase after "because"."""

    task: Task
    reason: str


def check_task(task: str, n_targets: int) -> None:
    """Raise OptionError if the task does not exist or does not allow this number of targets."""
    if task not in (AUTO, *TASKS):
        remedy = f"Give {AUTO}, {', '.join(TASKS)}"
        raise OptionError(f"no such task: {task}", where="--task", remedy=remedy)
    if n_targets > 1 and task in ("classification", "per-residue"):
        what = f"{task} has one target, and {n_targets} were named"
        raise OptionError(what, where="--target", remedy="Name one, or give --task multi-label or regression")


def find_task(
    where: str,
    targets: Sequence[str],
    cells: Sequence[Sequence[str]],
    n_residues: Sequence[Collection[int]],
    unit: str,
) -> FoundTask:
    """Return the task that the cells of the targets imply.

    ``n_residues`` holds the length of each sequence, as given and as cleaned. ``unit`` is the word for a
    residue.

    Raises:
        InputError: The cells imply no task.
    """
    known = [[cell for cell in column if cell.lower() not in MISSING] for column in cells]
    if len(targets) == 1:
        return _of_one(where, targets[0], cells[0], known[0], n_residues, unit)
    if all(is_truth(cell) for column in known for cell in column):
        return FoundTask("multi-label", "the targets hold 0 and 1")
    if all(parse_number(cell) is not None for column in known for cell in column):
        return FoundTask("regression", "the targets hold numbers")
    what = f"the columns {', '.join(targets)} are neither all numbers nor all 0 and 1"
    raise InputError(what, where=where, remedy="Name one target, or several of numbers or of 0 and 1")


def odd_among_numbers(cells: Sequence[str], n_residues: Sequence[Collection[int]]) -> frozenset[str]:
    """Return the cells that are no numbers in a column where most are, unless the column holds classes or
    residue labels.
    """
    known = [cell for cell in cells if cell.lower() not in MISSING]
    numbers = [number for cell in known if (number := parse_number(cell)) is not None]
    if 2 * len(numbers) <= len(known) or _are_classes(set(numbers), len(known)):
        return frozenset()
    if all(map(is_truth, known)) or _are_per_residue(cells, n_residues):
        return frozenset()
    return frozenset(cell for cell in known if parse_number(cell) is None)


def is_truth(cell: str) -> bool:
    return cell.lower() in TRUTHS or parse_number(cell) in (0.0, 1.0)


def _of_one(
    where: str,
    target: str,
    cells: Sequence[str],
    known: Sequence[str],
    n_residues: Sequence[Collection[int]],
    unit: str,
) -> FoundTask:
    distinct = set(known)
    numbers = [parse_number(cell) for cell in distinct]
    if _are_per_residue(cells, n_residues):
        return FoundTask("per-residue", f"{target!r} holds a letter for every {unit}")
    if all(number is not None for number in numbers):
        values = {number for number in numbers if number is not None}
        if _are_classes(values, len(known)):
            return FoundTask("classification", f"{target!r} holds {len(values)} different whole numbers")
        return FoundTask("regression", f"{target!r} holds numbers")
    if 2 * len(distinct) <= len(known) or len(distinct) == 1:
        return FoundTask("classification", f"{target!r} holds {len(distinct):,} different texts")
    what = f"column {target!r} holds {len(distinct):,} different texts in {len(known):,} rows"
    remedy = f"Name a column of numbers, of classes, or of a letter for every {unit}; or say --task"
    raise InputError(f"{what}, too many to be classes", where=where, remedy=remedy)


def _are_classes(values: set[float], n_rows: int) -> bool:
    whole = all(value.is_integer() for value in values)
    return whole and (len(values) <= 2 or len(values) <= min(MOST_INTEGERS, n_rows // ROWS_PER_INTEGER))


def _are_per_residue(cells: Sequence[str], n_residues: Sequence[Collection[int]]) -> bool:
    """Return whether nearly all cells have the length of their sequence. The few others are faulty."""
    pairs = [(cell, n) for cell, n in zip(cells, n_residues, strict=True) if cell]
    fitting = [cell for cell, n in pairs if len(cell) in n]
    if not fitting or len(fitting) < SHARE_OF_LENGTHS * len(pairs) or max(map(len, fitting)) < 2:
        return False
    if len(set().union(*fitting)) > MOST_LETTERS:
        return False
    if all(parse_number(cell) is not None for cell in fitting):
        return all(cell.isdecimal() and len(cell) >= SHORTEST_DIGITS for cell in fitting)
    return True
