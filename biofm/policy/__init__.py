"""Who may do what: requests, verdicts, and the rules between them. Pure functions."""

from biofm.policy.requests import Principal, Request, Target, Verb
from biofm.policy.rules import HUB, WEIGHTS_AND_BIASES, decide
from biofm.policy.verdicts import Decision, Verdict

__all__ = [
    "HUB",
    "WEIGHTS_AND_BIASES",
    "Decision",
    "Principal",
    "Request",
    "Target",
    "Verb",
    "Verdict",
    "decide",
]
