"""The functions by which long work reports its progress."""

from collections.abc import Callable

OnStep = Callable[[int, int], None]
"""Called with the work done and all the work."""

OnStage = Callable[[str, int, int], None]
"""Called with the name of a stage, the work done and all the work of that stage."""
