"""How a run tells how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Called with a stage, the work done and all the work of that stage, and what else there is to say."""

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None: ...
