"""``merge``: one table from the shards of a run."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from biofm.api.request import request_of
from biofm.api.table import table_targets, write_table
from biofm.core.errors import InputError
from biofm.core.stores import check_suffix
from biofm.gate import ask
from biofm.inference.merging import check_shards
from biofm.inference.results import MergeSummary


def merge(
    shards: Sequence[str | Path], output: str | Path, *, overwrite: bool = False, quiet: bool = True
) -> MergeSummary:
    """Write what the shards of ``embed`` hold as one table, in the order of their input; its suffix chooses
    the format. The shards, in any order, are left as they are.

    Raises InputError: one is missing, given twice, made otherwise or of another input. OutputError.
    """
    target = Path(output)
    check_suffix(target)
    if not shards:
        raise InputError("no shards were given", remedy="Name the files that `biofm embed --shard` left")
    reads = {"shards": tuple(map(Path, shards))}
    began = perf_counter()
    with ask(request_of("merge", reads=reads, writes=table_targets(target, overwrite))) as permit:
        journals = permit.journals("shards")
        check_shards(journals)
        n_rows = write_table(journals, permit, target, quiet)
        first, finished = journals[0], journals[0].finished
        assert finished, "check_shards has looked"
        return MergeSummary(
            output=str(target),
            n_shards=len(journals),
            n_sequences=finished["n_records"],
            n_unique=sum(journal.n_rows for journal in journals),
            n_residues=sum(journal.counts["residues"] for journal in journals),
            n_rows=n_rows,
            n_dimensions=first.fingerprint["d_model"],
            seconds=perf_counter() - began,
            provenance=first.provenance,
            notices=finished["notices"],
        )
