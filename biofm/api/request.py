"""The request that a verb puts to the gate before it acts, and the list of all verbs."""

from collections.abc import Mapping
from pathlib import Path

from biofm.gate import person
from biofm.policy import Plain, Request, Target

VERBS = frozenset(
    {
        "configure",
        "contacts",
        "describe",
        "embed",
        "estimate",
        "evaluate",
        "fetch",
        "finetune",
        "load",
        "merge",
        "neighbours",
        "perplexity",
        "predict",
        "prepare",
        "pretrain",
        "save",
        "score",
    }
)
"""Every verb that the gate may be asked for: those that are declared, an estimate of one of them, reading a
recipe, and what is done with a model's files. The policy refuses any other.
"""


def request_of(
    verb: str,
    *,
    options: Mapping[str, Plain] | None = None,
    once: frozenset[str] = frozenset(),
    reads: Mapping[str, tuple[Path, ...]] | None = None,
    writes: Mapping[str, Target] | None = None,
    contacts: tuple[str, ...] = (),
    model: str = "",
) -> Request:
    """Return a request in the name of the person who runs this process."""
    return Request(
        verb=verb,
        verbs=VERBS,
        principal=person(),
        options=options or {},
        reads=reads or {},
        writes=writes or {},
        contacts=contacts,
        model=model,
        once=once,
    )
