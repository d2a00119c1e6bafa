"""What the entries of requests and outcomes say."""

from pathlib import Path
from typing import Any, Literal, get_args

from biofm.core.choices import WORDS
from biofm.gate.ledger.texts import Choices
from biofm.policy import AGENT, PERSON, Request, Target, TargetKind, Verdict

Outcome = Literal["completed", "failed", "interrupted"]
PRINCIPALS = frozenset({PERSON, AGENT})
"""The kinds of principals whose names stay in clear."""


def fields_of_request(request: Request, verdict: Verdict) -> dict[str, Any]:
    """Return what the entry of a request says.

    Args:
        request: What was asked.
        verdict: What the policy answered.
    """
    return {
        "principal": request.principal.kind,
        "user": request.principal.name,
        "verb": request.verb,
        "model": request.model,
        "reads": {role: [_where(path) for path in paths] for role, paths in request.reads.items()},
        "writes": {role: _described(target) for role, target in request.writes.items()},
        "hosts": request.hosts,
        "sends": sorted(one.value for one in request.sends),
        "code": request.code,
        "device": request.device,
        "options": request.options,
        "decision": verdict.decision.name.lower(),
        "rule": verdict.rule,
        "reason": verdict.reason,
        "evidence": verdict.evidence,
    }


def clear_words(request: Request) -> Choices:
    """Return the words of a request that stay in clear where texts are keyed.

    Args:
        request: What was asked.
    """
    return {
        "principal": PRINCIPALS,
        "verb": request.verbs,
        **{f"reads.{role}": ("-",) for role in request.reads},
        **{f"writes.{role}.path": ("-",) for role in request.writes},
        **{f"writes.{role}.kind": get_args(TargetKind) for role in request.writes},
        **{f"options.{name}": WORDS for name in request.options},
    }


def _where(path: Path) -> str:
    return "-" if path == Path("-") else str(path.absolute())


def _described(target: Target) -> dict[str, str | bool]:
    return {"path": _where(target.path), "kind": target.kind, "overwrite": target.overwrite}
