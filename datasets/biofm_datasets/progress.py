"""Holds the types of the functions by which long work reports its progress, and one that ignores it."""

from collections.abc import Callable

OnStep = Callable[[int, int], None]
"""A function called with the amount of work done and the total."""

OnStage = Callable[[str, int, int], None]
"""A function called with the name of a stage, the amount of its work done and its total."""


def no_progress(*done: object) -> None:
    """Ignore the progress, for callers that show none."""
