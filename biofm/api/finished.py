"""Resumed runs: a notice says how much they took over, and a finished run does nothing again.

The output of a finished run says how and from which records it was made. The same request would write the
same output.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biofm_datasets.text import format_count

from biofm.core.errors import OutputError
from biofm.core.journal import Journal
from biofm.core.labels import united_labels
from biofm.core.outputs import RECORDS, has_provenance
from biofm.core.provenance import LABELS
from biofm.gate import Permit, remove_leftovers
from biofm.inference.runs import WHOLE, Shard

BEGUN_AFRESH = "The run started from the beginning, because --resume found no unfinished work."
ALREADY_WHOLE = "The output was finished before by this same request, so nothing was left to do."


def describe_resumed(n_before: int | None, n_all: int, words: tuple[str, str], done: str) -> str:
    """Return the notice of a run that was asked to resume.

    Args:
        n_before: How much an earlier session had finished. None if there was no unfinished work.
        n_all: How much the whole run does.
        words: The word for what is counted, in singular and plural.
        done: What the run does with it, for example "embedded".
    """
    if n_before is None:
        return BEGUN_AFRESH
    were = "was" if n_before == 1 else "were"
    return f"Resumed: {n_before:,} of {format_count(n_all, *words)} {were} already {done}."


def provenance_of(journal: Journal) -> dict[str, Any]:
    """Return the provenance of a finished journal's output, with the digest of the input's records.

    It says how the output is made. The labels, which say from whose data, are left out (``labels_of``).
    """
    finished = journal.finished
    assert finished, "only a finished journal becomes an output"
    how = {name: value for name, value in journal.provenance.items() if name != LABELS}
    return how | {RECORDS: finished["digest"]}


def labels_of(permit: Permit, journals: Sequence[Journal] = ()) -> dict[str, str]:
    """Return the field of a provenance that states the labels of what an output is made from.

    Args:
        permit: The permit of the output.
        journals: The journals that become the output. Earlier sessions have stated their labels in them.
    """
    earlier = [str(journal.provenance.get(LABELS, "")) for journal in journals]
    return {LABELS: united_labels(permit.labels, *earlier)}


def check_finished(
    permit: Permit, made: Path, provenance: Mapping[str, Any], digest: str, shard: Shard
) -> dict[str, Any]:
    """Return the provenance of the finished output ``made``, which the permit opens.

    What a run that was killed at its last step left beside the output is removed.

    Raises:
        OutputError: This request, with its ``provenance`` and the ``digest`` of its records, would make
            another output.
    """
    remove_leftovers(made)
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
