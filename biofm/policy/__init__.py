"""The policy decides who may do what, by pure functions over requests, evidence and policy files.

What declarations and requests are made of is imported from here. The rest is imported from its module,
because asking for help does not need it: ``rules`` (the verdict), ``files`` and ``policies`` (policy files),
``rights`` and ``schema``.
"""

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
from biofm.policy.evidence import Alteration, Approval, Evidence, Models
from biofm.policy.labels import LETTERS, NEVER_TOGETHER, ONLY_WITH_APPROVAL, Labels, letters_of
from biofm.policy.requests import (
    AGENT,
    ESTIMATE,
    PERSON,
    UNFINISHED,
    Content,
    Plain,
    Principal,
    Request,
    Target,
    TargetKind,
    is_plain,
)
from biofm.policy.screening import Screening
from biofm.policy.verdicts import Decision, Verdict

__all__ = [
    "AGENT",
    "ESTIMATE",
    "LETTERS",
    "NEVER_TOGETHER",
    "NONE",
    "ONLY_WITH_APPROVAL",
    "OWED",
    "PERSON",
    "UNFINISHED",
    "Alteration",
    "Approval",
    "Code",
    "ConnectsTo",
    "Content",
    "Decision",
    "Effect",
    "Evidence",
    "Host",
    "Labels",
    "Models",
    "NoEffect",
    "Plain",
    "Principal",
    "Reads",
    "Request",
    "RunsCode",
    "Screening",
    "Target",
    "TargetKind",
    "UsesDevice",
    "Verdict",
    "Writes",
    "is_plain",
    "letters_of",
]
