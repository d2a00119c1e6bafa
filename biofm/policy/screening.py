"""The outcomes of sequence screening have the words and the order of commec, the screener of IBBIS.

A screener says for each sequence whether it resembles a sequence of concern. What was not screened to the
end is never taken for harmless.
"""

from collections.abc import Iterable
from enum import IntEnum


class Screening(IntEnum):
    """Orders the outcomes of a screening by gravity, so that the gravest of several is their ``max``."""

    SKIP = 0
    PASS = 1
    CLEARED_WARNING = 2
    CLEARED_FLAG = 3
    WARNING = 4
    FLAG = 5
    INCOMPLETE = 6
    ERROR = 7

    @property
    def word(self) -> str:
        """The outcome as commec spells it."""
        return WORDS[self]


WORDS = {
    Screening.SKIP: "Skip",
    Screening.PASS: "Pass",
    Screening.CLEARED_WARNING: "Warning (Cleared)",
    Screening.CLEARED_FLAG: "Flag (Cleared)",
    Screening.WARNING: "Warning",
    Screening.FLAG: "Flag",
    Screening.INCOMPLETE: "Incomplete",
    Screening.ERROR: "Error",
}
CLEAR = frozenset({Screening.PASS, Screening.CLEARED_WARNING, Screening.CLEARED_FLAG})
"""The outcomes after which a sequence may be made or sent."""
BY_WORD = {word: outcome for outcome, word in WORDS.items()} | {"-": Screening.INCOMPLETE}
"""The outcomes by commec's words; a dash is what an interrupted run of commec leaves."""


def is_clear(outcome: Screening) -> bool:
    """Return whether a sequence was screened to the end and nothing stands against it.

    Args:
        outcome: The outcome. "Skip" is not clear: nobody has looked.
    """
    return outcome in CLEAR


def outcome_of(word: object) -> Screening:
    """Return the outcome that a screener's word stands for; ``ERROR`` for any other value.

    Args:
        word: The word, spelled as commec spells it.
    """
    return BY_WORD.get(word, Screening.ERROR) if isinstance(word, str) else Screening.ERROR


def gravest(outcomes: Iterable[Screening]) -> Screening:
    """Return the outcome of several sequences together.

    It is the gravest of them. It is ``INCOMPLETE`` if there are none, or if some were skipped and the others
    are clear.

    Args:
        outcomes: The outcomes of the sequences.
    """
    found = frozenset(outcomes)
    if not found or (Screening.SKIP in found and max(found) in CLEAR):
        return Screening.INCOMPLETE
    return max(found)
