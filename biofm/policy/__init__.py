"""The policy decides who may do what, by pure functions: effects, requests, rules and verdicts."""

from biofm.policy.effects import (
    NONE,
    OWED,
    Code,
    ConnectsTo,
    Effect,
    Host,
    NoEffect,
    Reads,
    RunsCode,
    UsesDevice,
    Writes,
)
from biofm.policy.requests import (
    ESTIMATE,
    UNFINISHED,
    Plain,
    Principal,
    Request,
    Target,
    TargetKind,
    is_plain,
)
from biofm.policy.rules import HUB, WEIGHTS_AND_BIASES, decide
from biofm.policy.verdicts import Decision, Verdict

__all__ = [
    "ESTIMATE",
    "HUB",
    "NONE",
    "OWED",
    "UNFINISHED",
    "WEIGHTS_AND_BIASES",
    "Code",
    "ConnectsTo",
    "Decision",
    "Effect",
    "Host",
    "NoEffect",
    "Plain",
    "Principal",
    "Reads",
    "Request",
    "RunsCode",
    "Target",
    "TargetKind",
    "UsesDevice",
    "Verdict",
    "Writes",
    "decide",
    "is_plain",
]
