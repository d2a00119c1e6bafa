"""Who may do what: requests, verdicts, and the rules between them. Pure functions."""

from biofm.policy.requests import Principal, Request, Target, Verb
from biofm.policy.rules import decide
from biofm.policy.verdicts import Decision, Verdict

__all__ = ["Decision", "Principal", "Request", "Target", "Verb", "Verdict", "decide"]
