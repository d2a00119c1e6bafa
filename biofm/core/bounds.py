"""Bounds: the least and the most that a numeric option may be, and why.

Most bounds lie far beyond useful values. A number outside them is a typing error, or an attack.
"""

from collections.abc import Mapping
from typing import NamedTuple

from biofm.core.errors import OptionError

MIN_SEPARATION = 6
"""The least separation along the chain, in residues, at which a contact is informative. Nearer residues
touch anyway: precision never counts them, and tables and pictures leave them out by default.
"""


class Bound(NamedTuple):
    """Holds the least and the most that an option may be.

    Attributes:
        least: The smallest value that is allowed.
        most: The largest value that is allowed.
        reason: Why no larger value is allowed, as the error message says it.
    """

    least: float
    most: float
    reason: str


STEPS = "at 3 milliseconds a step, this many take a year"
TOKENS = "no device holds a larger batch"
LENGTH = "the longest known protein has 45,212 residues"
ROWS = "no table and no token store has more rows"
SEED = "some random number generators accept no larger seed"
WIDTH = "no encoder is wider"
WEIGHTS = "larger numbers overflow"

BOUNDS: Mapping[str, Bound] = {
    "batches_per_step": Bound(1, 1 << 20, "a step over more batches would not end"),
    "checkpoint_every": Bound(1, 10**10, STEPS),
    "clip_norm": Bound(0, 1e9, WEIGHTS),
    "devices": Bound(1, 1024, "no machine has more"),
    "log_every": Bound(1, 10**10, STEPS),
    "lora_alpha": Bound(1, 1 << 16, WIDTH),
    "lora_rank": Bound(1, 1 << 16, WIDTH),
    "max_length": Bound(3, 1 << 20, LENGTH),
    "memory_limit_gb": Bound(4, 1 << 16, "no machine has more"),
    "min_separation": Bound(1, 1 << 20, LENGTH),
    "n_folds": Bound(0, 1000, "a model is trained for each fold"),
    "n_held_out": Bound(0, 10**9, ROWS),
    "n_hidden": Bound(0, 1 << 16, WIDTH),
    "n_members": Bound(1, 1000, "a model is trained for each member"),
    "n_nodes": Bound(1, 1 << 16, "no cluster has more"),
    "n_resamples": Bound(0, 10**6, "more resamples do not improve the interval"),
    "n_sampled": Bound(0, 10**9, ROWS),
    "n_steps": Bound(0, 10**10, STEPS),
    "n_validation": Bound(0, 10**9, ROWS),
    "n_warmup": Bound(0, 10**10, STEPS),
    "n_workers": Bound(0, 1024, "no machine has more processors"),
    "offset": Bound(-(10**9), 10**9, LENGTH),
    "patience": Bound(0, 10**10, STEPS),
    "seed": Bound(0, 2**32 - 1, SEED),
    "time_limit_s": Bound(1, 1e7, "a program that takes longer would not end"),
    "tokens_per_batch": Bound(2, 1 << 24, TOKENS),
    "top": Bound(1, 100, "all neighbours are kept in memory until they are printed"),
    "validate_every": Bound(0, 10**10, STEPS),
    "weight_decay": Bound(0, 1e3, WEIGHTS),
    "window": Bound(0, 1 << 20, LENGTH),
}


def check_bound(name: str, value: float | None, where: str, *, least: float | None = None) -> None:
    """Raise OptionError if ``value`` is not a number, or lies outside the bound of this name.

    Args:
        name: A key of ``BOUNDS``.
        value: The value to check. None, an option that was not given, passes.
        where: The name of the option in the message.
        least: The smallest value that is allowed. None takes it from the bound.
    """
    if value is None:
        return
    bound = BOUNDS[name]
    lowest = bound.least if least is None else least
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionError(f"{value!r} is not a number", where=where, remedy="Give a number")
    if not value >= lowest:
        raise OptionError(
            f"{value} is too small", where=where, remedy=f"Give at least {_format_limit(lowest)}"
        )
    if value > bound.most:
        remedy = f"Give at most {_format_limit(bound.most)}: {bound.reason}"
        raise OptionError(f"{value} is too large", where=where, remedy=remedy)


def _format_limit(number: float) -> str:
    """Return a limit as a message shows it: 4,294,967,295 or 0.5."""
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"
