"""``merge``: one table from the shards of a run."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from biofm.api.finished import provenance_of
from biofm.api.paths import paths_of
from biofm.api.request import request_of
from biofm.api.scoring import write_scores
from biofm.api.table import table_targets, write_table
from biofm.core.errors import InputError
from biofm.core.journal import Journal
from biofm.core.stores import check_suffix
from biofm.core.tables import STANDARD_OUTPUT, check_table_suffix
from biofm.core.tables import SUFFIXES as TABLES
from biofm.gate import Permit, ask
from biofm.inference.empty_rows import EMPTY_ROWS
from biofm.inference.merging import check_shards
from biofm.inference.results import MergeSummary
from biofm.inference.scoring.results import ScoreMergeSummary
from biofm.inference.scoring.to_journal import count_empty, n_without


def merge(
    shards: Sequence[str | Path], output: str | Path, *, overwrite: bool = False, quiet: bool = True
) -> MergeSummary | ScoreMergeSummary:
    """Write what the shards of ``embed`` or of ``score`` hold as one table, in the order of their input; its
    suffix chooses the format, and ``-`` is standard output, for scores as CSV. The shards, in any order, are
    left as they are.

    Raises InputError: one is missing, given twice, made otherwise or of another input. OutputError.
    """
    target = Path(output)
    if target != STANDARD_OUTPUT and target.suffix.lower() not in TABLES:
        check_suffix(target)
    paths = paths_of(shards)
    if not paths:
        raise InputError("no shards were given", remedy="Name the files that a verb with --shard left")
    reads = {"shards": paths}
    began = perf_counter()
    with ask(request_of("merge", reads=reads, writes=table_targets(target, overwrite))) as permit:
        journals = permit.journals("shards")
        check_shards(journals)
        if journals[0].fingerprint["verb"] == "score":
            return _merge_scores(journals, permit, target, quiet, began)
        check_suffix(target)
        written = write_table(journals, permit, target, quiet)
        first, finished = journals[0], journals[0].finished
        assert finished, "check_shards has looked"
        return MergeSummary(
            output=str(target),
            n_shards=len(journals),
            n_sequences=finished["n_records"],
            n_unique=sum(journal.n_rows for journal in journals),
            n_residues=sum(journal.counts["residues"] for journal in journals),
            n_rows=written.n_rows,
            n_dimensions=first.fingerprint["d_model"],
            seconds=perf_counter() - began,
            provenance=provenance_of(first),
            notices=finished["notices"] | ({EMPTY_ROWS: written.n_empty} if written.n_empty else {}),
        )


def _merge_scores(
    journals: Sequence[Journal], permit: Permit, output: Path, quiet: bool, began: float
) -> ScoreMergeSummary:
    check_table_suffix(output)
    finished = journals[0].finished
    assert finished, "check_shards has looked"
    notices = Counter[str](finished["notices"])
    n_variants = write_scores(journals, permit, output, quiet, notices)
    count_empty(journals, notices)
    return ScoreMergeSummary(
        output=str(output),
        n_shards=len(journals),
        n_variants=n_variants,
        n_unscored=n_without(journals),
        seconds=perf_counter() - began,
        provenance=provenance_of(journals[0]),
        notices=dict(+notices),
    )
