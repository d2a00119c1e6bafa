"""Tables that verbs write: where a table may lie, and how the journals of a run become one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from biofm.api.finished import labels_of, provenance_of
from biofm.core import ProgressSink
from biofm.core.errors import OptionError
from biofm.core.journal import Journal
from biofm.core.outputs import empty_fields, open_writer, provenance_path
from biofm.core.tables import STANDARD_OUTPUT, Columns, Table, check_table_suffix, open_table
from biofm.gate import Permit
from biofm.inference import scoring
from biofm.inference.runs import Written, write_embeddings
from biofm.models.finiteness import describe_not_finite
from biofm.policy import Target


def table_targets(output: Path, overwrite: bool) -> dict[str, Target]:
    """Return the targets of a table: its file and, for a format without metadata, the file of its provenance.

    A killed run may have left a file of provenance without its table; it is replaced. Standard output gets
    the table alone.

    Raises:
        OptionError: ``overwrite`` is asked for on standard output.
    """
    if output == STANDARD_OUTPUT:
        if overwrite:
            what, remedy = "standard output has no file to replace", "Leave it out"
            raise OptionError(what, where="--overwrite", remedy=remedy)
        return {"output": Target(path=output, kind="stream")}
    targets = {"output": Target(path=output, overwrite=overwrite)}
    if beside := provenance_path(output):
        targets["provenance"] = Target(path=beside, overwrite=overwrite or not output.exists())
    return targets


def open_output(
    permit: Permit, output: Path, provenance: Mapping[str, Any], journals: Sequence[Journal] = ()
) -> Table:
    """Open the table ``output`` for writing; the permit was asked for with ``table_targets(output, ...)``.

    Its provenance states the labels of what it is made from, and those that the journals state.
    """
    beside = permit.writer("provenance") if provenance_path(output) else None
    stated = {**provenance, **labels_of(permit, journals)}
    return open_table(permit.writer("output"), check_table_suffix(output), stated, beside)


def write_embedding_table(
    journals: Sequence[Journal], permit: Permit, output: Path, progress: ProgressSink
) -> Written:
    """Write the embeddings of finished journals into ``output``, in the order of the input."""
    provenance = provenance_of(journals[0])
    writer = open_writer(
        permit.writer("output"),
        output.suffix,
        per_residue=provenance["pooling"] == "none",
        scratch_folder=permit.spare_folder(output),
        provenance_file=permit.writer("provenance") if provenance_path(output) else None,
    )
    with progress.bar("writing") as bar:
        written = write_embeddings(journals, writer, bar)
    why_empty = empty_fields(written.n_empty, describe_not_finite(provenance["dtype"]))
    writer.close(provenance | labels_of(permit, journals) | why_empty)
    return written


def write_score_table(
    journals: Sequence[Journal],
    permit: Permit,
    output: Path,
    progress: ProgressSink,
    notices: Counter[str],
    on_block: Callable[[Columns], None] = lambda columns: None,
) -> int:
    """Write the scores of finished journals in the order of the input, and return the number of rows.

    ``on_block`` is called with the columns of each block of rows.
    """
    table = open_output(permit, output, provenance_of(journals[0]), journals)
    with progress.bar("writing") as bar:
        return scoring.write_scores(journals, table, bar, notices, on_block)
