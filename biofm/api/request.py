"""Requests: what a verb asks of the gate before it acts, and the list of all verbs."""

from collections.abc import Mapping
from pathlib import Path

from biofm.gate import principal_of_account
from biofm.policy import Content, Plain, Request, Target

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
        "run_program",
        "save",
        "score",
    }
)
"""Every verb that the gate may be asked for: the declared ones, an estimate of one of them (``estimate``),
reading a recipe (``configure``), and work on a model's files (``fetch``, ``load``, ``save``). The policy
refuses any other.
"""


def request_of(
    verb: str,
    *,
    options: Mapping[str, Plain] | None = None,
    once: frozenset[str] = frozenset(),
    reads: Mapping[str, tuple[Path, ...]] | None = None,
    writes: Mapping[str, Target] | None = None,
    hosts: tuple[str, ...] = (),
    sends: frozenset[Content] = frozenset(),
    code: tuple[str, ...] = (),
    device: str = "",
    model: str = "",
) -> Request:
    """Return a request in the name of the account that runs this process.

    Args:
        verb: The verb that asks.
        options: Its options, by their declared names.
        once: The roles of files that are read a single time, from the first byte to the last.
        reads: The files to read, by their roles.
        writes: The files and folders to write, by their roles.
        hosts: The hosts to contact.
        sends: What is sent to them.
        code: The programs of the caller that are run.
        device: The processor or instrument, as the caller named it.
        model: The name of the model.
    """
    return Request(
        verb=verb,
        verbs=VERBS,
        principal=principal_of_account(),
        options=options or {},
        reads=reads or {},
        writes=writes or {},
        hosts=hosts,
        sends=sends,
        code=code,
        device=device,
        model=model,
        once=once,
    )
