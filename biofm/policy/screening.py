"""The outcomes of sequence screening have the words and the order of commec, the screener of IBBIS.

A screener says for each sequence whether it resembles a sequence of concern. What was not screened to the
end is never taken for harmless.
"""

from collections.abc import Iterable
from enum import Enum
from functools import total_ordering


@total_ordering
class Screening(Enum):
    """Orders the outcomes of a screening by gravity, so that the gravest of several is their ``max``.

    The values are commec's words. SKIP means that nothing was screened.
    """

    SKIP = "Skip"
    PASS = "Pass"
    CLEARED_WARNING = "Warning (Cleared)"
    CLEARED_FLAG = "Flag (Cleared)"
    WARNING = "Warning"
    FLAG = "Flag"
    INCOMPLETE = "Incomplete"
    ERROR = "Error"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Screening):
            return NotImplemented
        return GRAVITY[self] < GRAVITY[other]


GRAVITY = {outcome: place for place, outcome in enumerate(Screening)}
CLEAR = frozenset({Screening.PASS, Screening.CLEARED_WARNING, Screening.CLEARED_FLAG})
"""The outcomes after which a sequence may be made or sent."""
BY_WORD = {outcome.value: outcome for outcome in Screening} | {"-": Screening.INCOMPLETE}
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
