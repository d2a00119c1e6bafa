"""Words of reports."""

from collections.abc import Sequence
from datetime import datetime


def join_names(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def now() -> str:
    """The local date and time, to the minute."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"
