"""The worker of verbs: a whole verb is performed here, in a process that the kernel confines.

This module is imported in such a process (``biofm.gate.confinement``), and only there. The verb gets what its
parent's permit holds, and answers with its typed result.
"""

import importlib
import time
from collections.abc import Mapping
from typing import Any, BinaryIO

from biofm.api.confined import VerbJob, VerbResult
from biofm.api.declaration import Verb
from biofm.api.workers import PERFORMED
from biofm.core.progress import ProgressSink
from biofm.core.typed_json import to_plain
from biofm.gate.confinement.inside import tell_progress
from biofm.gate.handed import take

JOB = VerbJob
SECONDS_BETWEEN = 0.1
"""How long the worker waits before it tells of more progress of the same work."""


def run(job: VerbJob, files: Mapping[str, BinaryIO], memory: BinaryIO) -> VerbResult:
    """Perform a verb.

    Args:
        job: The verb, its options, and what was handed over.
        files: The files that ``job`` names, whose descriptors the verb uses.
        memory: Is not used.

    Raises:
        BiofmError: What the verb raises.
    """
    take(job.handed)
    asked = declaration_in(PERFORMED[job.handed.verb].module)(**job.options)
    result = asked.run(ProgressSink(quiet=True, listener=_Teller()))
    return VerbResult(value=to_plain(result))


def declaration_in(module: str) -> type[Verb[Any]]:
    """Return the declaration of a verb.

    Args:
        module: The module that holds it, and no other one.
    """
    (found,) = (
        one
        for one in vars(importlib.import_module(module)).values()
        if isinstance(one, type) and issubclass(one, Verb) and one.__module__ == module
    )
    return found


class _Teller:
    """Tells the parent of progress, and of the same work not too often."""

    def __init__(self) -> None:
        self._label, self._last_s = "", 0.0

    def __call__(self, label: str, fraction: float | None) -> None:
        now_s = time.monotonic()
        if label != self._label or now_s - self._last_s >= SECONDS_BETWEEN:
            self._label, self._last_s = label, now_s
            tell_progress(label, fraction)
