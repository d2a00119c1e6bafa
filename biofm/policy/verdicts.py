"""Verdicts are what the policy answers to a request."""

from dataclasses import dataclass
from enum import IntEnum


class Decision(IntEnum):
    """Orders the decisions by gravity, so that the gravest of several is their ``max``."""

    ALLOW = 0
    ASK = 1
    REFUSE = 2
    ERROR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Holds what the policy decided about a request.

    Attributes:
        decision: The decision.
        rule: The name of the rule that decided.
        reason: Why it decided so, for the user and the ledger.
    """

    decision: Decision
    rule: str
    reason: str
