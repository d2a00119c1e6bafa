"""The verb ``merge``: join the shards of a run into one file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import paths_of
from biofm.core.errors import InputError
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import Reads, Request, Writes

if TYPE_CHECKING:
    from biofm.core.journal import Journal
    from biofm.gate import Permit
    from biofm.inference import MergeSummary
    from biofm.inference.scoring import ScoreMergeSummary


@dataclass(frozen=True, slots=True)
class Merge(Verb["MergeSummary | ScoreMergeSummary"]):
    """Join the shards of a run into one file, in the order of the input.

    They are all shards of one run of ``embed`` or ``score``, and are left as they are.

    Raises:
        InputError: A shard is missing, is given twice, or comes from another input or other options.
        OutputError: The output cannot be written.
    """

    shards: Annotated[
        Sequence[str | Path],
        Option("Join these files, which `biofm embed` or `biofm score` with --shard left, in any order."),
        Reads("shards"),
    ]
    output: Annotated[
        str | Path,
        Option(
            "Write the joined table into this file. Its suffix chooses the format, as for the verb that made "
            "the shards; - is standard output, which takes scores as CSV.",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("output"),
    ]
    _: KW_ONLY
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.outputs import check_suffix
        from biofm.core.tables import STANDARD_OUTPUT, SUFFIXES

        output = Path(self.output)
        if output != STANDARD_OUTPUT and output.suffix.lower() not in SUFFIXES:
            check_suffix(output)
        paths = paths_of(self.shards)
        if not paths:
            remedy = "Name the files that `biofm embed` or `biofm score` with --shard left"
            raise InputError("no shards were given", remedy=remedy)
        return self.asking(reads={"shards": paths}, writes=table_targets(output, self.overwrite))

    def run(self, progress: ProgressSink = SILENT) -> "MergeSummary | ScoreMergeSummary":
        from biofm.gate import ask  # these bring numpy
        from biofm.inference.runs import check_shards

        request, began = self.request(), perf_counter()
        with ask(request) as permit:
            journals = permit.journals("shards")
            check_shards(journals)
            is_of_scores = journals[0].fingerprint["verb"] == "score"
            merged = _merge_scores if is_of_scores else _merge_embeddings
            return merged(journals, permit, Path(self.output), progress, began)


def _merge_embeddings(
    journals: "Sequence[Journal]", permit: "Permit", output: Path, progress: ProgressSink, began: float
) -> "MergeSummary":
    """Write the embeddings of all shards, and return the summary."""
    from biofm.api.finished import provenance_of  # these bring torch
    from biofm.api.table import write_embedding_table
    from biofm.core.outputs import check_suffix
    from biofm.inference import EMPTY_ROWS, MergeSummary

    check_suffix(output)
    written = write_embedding_table(journals, permit, output, progress)
    first, finished = journals[0], journals[0].finished
    assert finished, "check_shards refuses unfinished shards"
    return MergeSummary(
        output=str(output),
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
    journals: "Sequence[Journal]", permit: "Permit", output: Path, progress: ProgressSink, began: float
) -> "ScoreMergeSummary":
    """Write the scores of all shards, and return the summary."""
    from biofm.api.finished import provenance_of  # these bring torch
    from biofm.api.table import write_score_table
    from biofm.core.tables import check_table_suffix
    from biofm.inference.scoring import ScoreMergeSummary, count_unscored, note_empty_rows

    check_table_suffix(output)
    finished = journals[0].finished
    assert finished, "check_shards refuses unfinished shards"
    notices = Counter[str](finished["notices"])
    n_variants = write_score_table(journals, permit, output, progress, notices)
    note_empty_rows(journals, notices)
    return ScoreMergeSummary(
        output=str(output),
        n_shards=len(journals),
        n_variants=n_variants,
        n_unscored=count_unscored(journals),
        seconds=perf_counter() - began,
        provenance=provenance_of(journals[0]),
        notices=dict(+notices),
    )


merge = verb(Merge)
