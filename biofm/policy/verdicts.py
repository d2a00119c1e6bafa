"""What the policy answers."""

from dataclasses import dataclass
from enum import IntEnum


class Decision(IntEnum):
    """Ordered by gravity, so that the gravest of several is their ``max``."""

    ALLOW = 0
    ASK = 1
    REFUSE = 2
    ERROR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision, the name of the rule it rests on, and the reason in a sentence."""

    decision: Decision
    rule: str
    reason: str
