"""Requests, evidence and policies of which tests change one field at a time."""

import re
from pathlib import Path
from typing import Any

from biofm.api.request import VERBS
from biofm.policy import (
    Alteration,
    Approval,
    Content,
    Evidence,
    Labels,
    Models,
    Principal,
    Request,
    Screening,
)
from biofm.policy.files import SHIPPED, read_policy, shipped_text
from biofm.policy.policies import Invalid, Policy

FREE = frozenset({Content.FREE})
TEXTS = {name: shipped_text(name).decode() for name in SHIPPED}


def asking(**changed: Any) -> Request:
    """Return a person's request to embed, with some fields changed. Hosts are sent free text by default."""
    fields: dict[str, Any] = {
        "verb": "embed", "verbs": VERBS, "principal": Principal(kind="person", name="rosalind"),
        "options": {}, "reads": {}, "writes": {}, "hosts": (), "code": (), "device": "", "model": "",
        "once": frozenset(),
    }  # fmt: skip
    fields |= {"sends": FREE if changed.get("hosts") else frozenset()} | changed
    return Request(**fields)


def found(**changed: Any) -> Evidence:
    """Return evidence in which nothing stands against a request, with some fields changed."""
    fields: dict[str, Any] = {
        "held": Labels.NONE, "inputs": {}, "alters": (), "outside": (), "approval": Approval.NONE,
        "is_confined": True, "models": Models.NONE, "screening": Screening.SKIP,
    }  # fmt: skip
    return Evidence(**fields | changed)


def alteration(maker: Any) -> Alteration:
    """Return the overwriting of a file that somebody made."""
    return Alteration(path=Path("out.csv"), what="overwrites", maker=maker)


def shipped(name: str, *changes: tuple[str, str]) -> Policy:
    """Return a policy that biofm ships, after replacing parts of its text."""
    policy = parsed(TEXTS[name], *changes)
    assert isinstance(policy, Policy), policy
    return policy


def parsed(text: str, *changes: tuple[str, str]) -> Policy | Invalid:
    """Return the policy of a text, after replacing parts of it that are there."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return read_policy(text.encode(), "policy.yaml")


def without_rule(name: str, rule: str) -> str:
    """Return the text of a shipped policy without one of its rules."""
    text, n = re.subn(rf"  - rule: {rule}\n(    .*\n)+", "", TEXTS[name])
    assert n == 1
    return text
