"""Finished runs: a run that is resumed after its end checks its output and does nothing again.

The output says how and from which records it was made. The same request would write the same output.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biofm.core.errors import OutputError
from biofm.core.journal import Journal
from biofm.core.outputs import RECORDS, has_provenance
from biofm.gate import Permit
from biofm.inference.runs import WHOLE, Shard

BEGUN_AFRESH = "The run started from the beginning, because --resume found no unfinished work."
ALREADY_WHOLE = "The output was finished before by this same request, so nothing was left to do."


def provenance_of(journal: Journal) -> dict[str, Any]:
    """Return the provenance of a finished journal's output, with the digest of the input's records."""
    finished = journal.finished
    assert finished, "only a finished journal becomes an output"
    return journal.provenance | {RECORDS: finished["digest"]}


def check_finished(
    permit: Permit, made: Path, provenance: Mapping[str, Any], digest: str, shard: Shard
) -> dict[str, Any]:
    """Return the provenance of the finished output ``made``, which the permit opens.

    Raises:
        OutputError: This request, with its ``provenance`` and the ``digest`` of its records, would make
            another output.
    """
    wanted = {**provenance, RECORDS: digest}
    if shard is WHOLE:
        beside = permit.readers("provenance")
        handle = beside[0] if beside else None
        is_same = has_provenance(permit.reader("output"), handle, made.suffix.lower(), wanted)
    else:
        (journal,) = permit.journals("output")
        is_same = journal.finished is not None and provenance_of(journal) == wanted
    if not is_same:
        what = "the file already exists, and it is not what this request would write"
        remedy = "Give the model, input and options that made it, pass --overwrite, or choose another name"
        raise OutputError(what, where=str(made), remedy=remedy)
    return wanted
