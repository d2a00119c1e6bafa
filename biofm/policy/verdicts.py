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
        remedy: What the user can do next, as a sentence without a full stop; empty only if it is allowed.
        evidence: The facts that were judged, as short texts for the ledger.
    """

    decision: Decision
    rule: str
    reason: str
    remedy: str
    evidence: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.decision is not Decision.ALLOW and not self.remedy:
            raise ValueError(f"the rule {self.rule!r} does not allow a request, and says no remedy")
