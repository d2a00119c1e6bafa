"""Labels say what a holder has come into contact with. They only rise, and two rules limit their company.

U is an untrusted input: a file or an answer that neither belongs to the installation nor was made by biofm
under this ledger. P is private data. X is the execution of a caller's code. E is external communication, or
the loss of what somebody else made.
"""

from enum import Flag, auto
from functools import cache


class Labels(Flag):
    """Holds any set of the four labels."""

    NONE = 0
    UNTRUSTED = auto()
    PRIVATE = auto()
    EXECUTES = auto()
    EXTERNAL = auto()


LETTERS = {
    "U": Labels.UNTRUSTED,
    "P": Labels.PRIVATE,
    "X": Labels.EXECUTES,
    "E": Labels.EXTERNAL,
}
"""The letter of each label, as texts and policy files write it."""
WORDS = {
    "U": "untrusted input",
    "P": "private data",
    "X": "execution of a caller's code",
    "E": "external communication",
}
"""What each letter stands for."""
NEVER_TOGETHER = Labels.PRIVATE | Labels.EXECUTES | Labels.EXTERNAL
"""The rule of three: no holder ever has these three together."""
ONLY_WITH_APPROVAL = Labels.UNTRUSTED | Labels.PRIVATE | Labels.EXTERNAL
"""The rule of two: these three come together only with a person's approval, or at a typed sink."""


@cache
def letters_of(labels: Labels) -> str:
    """Return the letters of a set of labels in the order U, P, X, E; of none, an empty text.

    Args:
        labels: The labels to spell.
    """
    return "".join(letter for letter, label in LETTERS.items() if label in labels)


def labels_of(letters: str) -> Labels:
    """Return the labels that some letters stand for.

    Args:
        letters: Letters of U, P, X and E.
    """
    labels = Labels.NONE
    for letter in letters:
        labels |= LETTERS[letter]
    return labels


@cache
def describe_labels(labels: Labels) -> str:
    """Return a set of labels in words, such as "P (private data) and E (external communication)".

    Args:
        labels: The labels to describe.
    """
    named = [f"{letter} ({WORDS[letter]})" for letter in letters_of(labels)]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))) or "no label"
