"""Options that are one of a few words."""

from collections.abc import Sequence

from biofm.core.errors import OptionError

ON_ERROR = ("stop", "skip")
"""What is done at a faulty record."""


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raises OptionError for a word that is none of ``choices``."""
    if value not in choices:
        remedy = f"Give {', '.join(choices[:-1])} or {choices[-1]}"
        raise OptionError(f"no such way: {value}", where=option, remedy=remedy)
