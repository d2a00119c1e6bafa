"""A run that is repeated with ``resume`` after its end: its output is checked, and nothing is done again.

The output says how it was made and from which records. A request that says the same would write the same.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biofm.core.errors import OutputError
from biofm.core.journal import Journal
from biofm.core.outputs import RECORDS, has_provenance
from biofm.gate import Permit
from biofm.inference.runs import WHOLE, Shard

BEGUN_AFRESH = "runs begun at the start, since --resume found no unfinished work"
ALREADY_WHOLE = "outputs that this same request had made before, so that nothing was left to do"


def provenance_of(journal: Journal) -> dict[str, Any]:
    """How the output of a finished journal is made, with the digest of the records it is made from."""
    finished = journal.finished
    assert finished, "its output is about to be written"
    return journal.provenance | {RECORDS: finished["digest"]}


def check_finished(
    permit: Permit, made: Path, provenance: Mapping[str, Any], digest: str, share: Shard
) -> dict[str, Any]:
    """The provenance of the output at ``made``, which the permit reads.

    Raises OutputError where this request, by its ``provenance`` and the ``digest`` of its records, would make
    another output.
    """
    wanted = {**provenance, RECORDS: digest}
    if share is WHOLE:
        beside = permit.readers("provenance")
        handle = beside[0] if beside else None
        is_same = has_provenance(permit.reader("output"), handle, made.suffix.lower(), wanted)
    else:
        (journal,) = permit.journals("output")
        is_same = journal.finished is not None and provenance_of(journal) == wanted
    if not is_same:
        what = "the file already exists, and this command makes another one"
        remedy = "Give model, input and options as they were, pass --overwrite, or choose another name"
        raise OutputError(what, where=str(made), remedy=remedy)
    return wanted
