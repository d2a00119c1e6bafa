"""The policy decides who may do what, by pure functions over requests, evidence and policy files."""

from biofm.policy.documents import MAX_BYTES, DocumentError, read_json
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
from biofm.policy.evidence import Alteration, Approval, Evidence, Models, Screening
from biofm.policy.files import DEFAULT, SHIPPED, is_policy_name, read_policy, shipped_text
from biofm.policy.labels import LETTERS, NEVER_TOGETHER, ONLY_WITH_APPROVAL, Labels, letters_of
from biofm.policy.policies import Invalid, Policy, Private, Rule, Sink, When
from biofm.policy.requests import (
    ESTIMATE,
    UNFINISHED,
    Content,
    Plain,
    Principal,
    Request,
    Target,
    TargetKind,
    is_plain,
)
from biofm.policy.rights import Right, Rights, rights_of
from biofm.policy.rules import HUB, WEIGHTS_AND_BIASES, decide, judge, labels_raised
from biofm.policy.schema import policy_schema
from biofm.policy.typed import build, spell
from biofm.policy.verdicts import Decision, Verdict

__all__ = [
    "DEFAULT",
    "ESTIMATE",
    "HUB",
    "LETTERS",
    "MAX_BYTES",
    "NEVER_TOGETHER",
    "NONE",
    "ONLY_WITH_APPROVAL",
    "OWED",
    "SHIPPED",
    "UNFINISHED",
    "WEIGHTS_AND_BIASES",
    "Alteration",
    "Approval",
    "Code",
    "ConnectsTo",
    "Content",
    "Decision",
    "DocumentError",
    "Effect",
    "Evidence",
    "Host",
    "Invalid",
    "Labels",
    "Models",
    "NoEffect",
    "Plain",
    "Policy",
    "Principal",
    "Private",
    "Reads",
    "Request",
    "Right",
    "Rights",
    "Rule",
    "RunsCode",
    "Screening",
    "Sink",
    "Target",
    "TargetKind",
    "UsesDevice",
    "Verdict",
    "When",
    "Writes",
    "build",
    "decide",
    "is_plain",
    "is_policy_name",
    "judge",
    "labels_raised",
    "letters_of",
    "policy_schema",
    "read_json",
    "read_policy",
    "rights_of",
    "shipped_text",
    "spell",
]
