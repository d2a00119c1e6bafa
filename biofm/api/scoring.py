"""``score``: what models expect of variants."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from biofm.api.embedding import BEGUN_AFRESH
from biofm.api.finished import ALREADY_WHOLE, check_finished, provenance_of
from biofm.api.model import DEFAULT_MODEL, Model, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.table import open_output, table_targets
from biofm.core import Progress, __version__, torch_version
from biofm.core.errors import OptionError
from biofm.core.journal import Fields, Journal
from biofm.core.stores.made import files_of
from biofm.core.tables import STANDARD_OUTPUT, Columns, check_table_suffix
from biofm.core.temporary import temporary_folder
from biofm.gate import Permit, ask, scratch_path, was_finished
from biofm.inference.scoring import Method, ScoreOptions, Scorer
from biofm.inference.scoring.cases import Cases, begun
from biofm.inference.scoring.methods import Variant
from biofm.inference.scoring.results import ScoreSummary
from biofm.inference.scoring.rows import Rows, of_shard
from biofm.inference.scoring.scan import STANDARD, scan_matrix
from biofm.inference.scoring.sources import Sources
from biofm.inference.scoring.to_journal import count_empty, fingerprint, n_without, score_to_journal
from biofm.inference.scoring.to_table import journals_to_table
from biofm.inference.shards import WHOLE, Shard
from biofm.policy import Target
from biofm.report import check_figure_suffix, draw_scan


def _let_go(columns: Columns) -> None:
    """Columns that nobody keeps."""


def score(
    variants: str | Path | None,
    output: str | Path,
    *,
    wild_type: str | Path | None = None,
    all_singles: bool = False,
    models: Sequence[str | Path] = (DEFAULT_MODEL,),
    method: Method = "masked-marginals",
    offset: int = 0,
    format: str | None = None,
    modality: str | None = None,
    variant_column: str | None = None,
    mutated_column: str | None = None,
    protein_column: str | None = None,
    sequence_column: str | None = None,
    picture: str | Path | None = None,
    dtype: str = "float32",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    on_error: str = "stop",
    shard: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
) -> ScoreSummary:
    """Score the variants of a table (CSV, TSV, Parquet; ``-`` is standard input) into a table.

    Every column is passed on; behind them stand the method, whether windows were needed, a score for each
    of ``models`` and their mean. Wild types come from the file ``wild_type`` (one record for all rows, or
    several named by ``protein_column``) or from the table's ``sequence_column``. With ``all_singles`` there
    are no ``variants``: every substitution of every wild type is scored, and ``picture`` draws one protein's.
    ``format`` (csv, tsv, parquet) says what a name or standard input does not.
    A row whose variant makes no protein (a stop codon, a frameshift, an empty cell) has an empty score and
    its reason in the column ``reason``; so has a row at fault where ``on_error`` is "skip".
    The notations are those of ``biofm_datasets.variants``, the numbering that of
    ``biofm_datasets.changes.locate``, the methods those of ``biofm.inference.scoring.methods``. All models
    are in memory at once; the table is not.

    However a run ends, what it has done is kept beside the output, and ``resume`` goes on with it: the scores
    are those of a run that was never stopped; of a run that had ended it finds the table, and says so.
    ``shard`` "2/8" scores the second of eight shares and leaves it as ``OUTPUT.shard-2-of-8``, for ``merge``.

    ``output`` "-" is standard output: CSV, whole or not at all, and no work is kept to go on with.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    options = ScoreOptions(
        method=method, offset=offset, variant_column=variant_column, mutated_column=mutated_column,
        on_error=on_error,
    )  # fmt: skip
    sources = Sources(
        variants=None if variants is None else path_of(variants),
        wild_type=None if wild_type is None else path_of(wild_type), all_singles=all_singles,
        only_one=picture is not None, sequence_column=sequence_column, protein_column=protein_column,
        format=format, modality=modality,
    )  # fmt: skip
    share = WHOLE if shard is None else Shard.parse(shard)
    target, drawn = Path(output), _path(picture)
    names = column_names([str(model) for model in models])
    writes = _targets(target, drawn, share, overwrite=overwrite, resume=resume)
    made, reads = target if share is WHOLE else share.path(target), sources.files()
    if is_finished := resume and not overwrite and was_finished(made):
        reads, writes = {**reads, **files_of(made)}, {}
    request = request_of("score", reads=reads, writes=writes, model=", ".join(map(str, models)))
    notices: Counter[str] = Counter()
    with ask(request) as permit:
        first, cases = begun(sources.cases(permit.reader, options, notices))
        loaded = [load(model, device=device, dtype=dtype) for model in models]
        scorer = Scorer([one.reader(tokens_per_batch) for one in loaded], options.method)
        provenance = _provenance(loaded, scorer, options)
        began, rows = perf_counter(), Rows(cases, scorer, notices)
        if is_finished:
            done = _done_before(rows, share)
            made_so = check_finished(permit, made, provenance, rows.digest, share)
            notices[ALREADY_WHOLE] += 1
            return _summary(made, done, perf_counter() - began, loaded, made_so, notices)
        journal = permit.journal("work")
        n_done_before = journal.n_done
        journal.begin(fingerprint(scorer, provenance, names, share), cast(Fields, provenance))
        with Progress("scoring", quiet=quiet) as bar:
            score_to_journal(
                rows, scorer, names, journal, share, sources.name, notices, bar, on_error=on_error
            )
        seconds, n_new = perf_counter() - began, journal.n_done - n_done_before
        done = _Done(journal.n_done, n_without([journal]), n_new, journal.counts["tokens"])
        count_empty([journal], notices)
        if share is WHOLE:
            parts: list[Columns] = []
            write_scores([journal], permit, target, quiet, notices, parts.append if drawn else _let_go)
            if drawn:
                _draw(first, parts, names, offset, permit.writer("picture"), drawn.suffix.lower())
        notices[BEGUN_AFRESH] += resume and not n_done_before
        made_so = provenance_of(journal)
    return _summary(made, done, seconds, loaded, made_so, notices)


class _Done(NamedTuple):
    """Rows, those without a score, those of this session, and the tokens that went through the models."""

    n_variants: int
    n_unscored: int
    n_scored: int
    n_tokens: int


def _done_before(rows: Rows, share: Shard) -> _Done:
    """What an earlier session did, by the rows alone, which are read through."""
    have_variants = Counter(isinstance(row.variant, Variant) for row in of_shard(rows, share))
    return _Done(have_variants.total(), n_unscored=have_variants[False], n_scored=0, n_tokens=0)


def _summary(
    made: Path,
    done: _Done,
    seconds: float,
    loaded: Sequence[Model],
    provenance: Mapping[str, Any],
    notices: Counter[str],
) -> ScoreSummary:
    return ScoreSummary(
        output=str(made),
        n_variants=done.n_variants,
        n_unscored=done.n_unscored,
        n_tokens=done.n_tokens,
        seconds=seconds,
        variants_per_second=done.n_scored / seconds,
        dtype_reason=loaded[0].compute.reason,
        provenance=provenance,
        notices=dict(+notices),
    )


def write_scores(
    journals: Sequence[Journal],
    permit: Permit,
    output: Path,
    quiet: bool,
    notices: Counter[str],
    on_block: Callable[[Columns], None] = _let_go,
) -> int:
    """Write the scores of finished journals in the input's order; returns how many there are."""
    table = open_output(permit, output, provenance_of(journals[0]))
    with Progress("writing", quiet=quiet) as bar:
        return journals_to_table(journals, table, bar, notices, on_block)


def column_names(models: list[str]) -> list[str]:
    """What the models' columns are called: the last part of each name, where that tells them apart.

    Raises OptionError for no model, and for one that is named twice.
    """
    if not models or len(set(models)) < len(models):
        what = "a model is named twice" if models else "no model is named"
        raise OptionError(what, where="--model", remedy="Name each model once")
    short = [Path(model).name.removesuffix(".pt") for model in models]
    return short if len(set(short)) == len(short) else models


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _targets(
    output: Path, drawn: Path | None, share: Shard, *, overwrite: bool, resume: bool
) -> dict[str, Target]:
    """What is written, by role. Raises OutputError for a suffix that cannot be, OptionError for a picture of
    a share, and for what cannot be of standard output.
    """
    check_table_suffix(output)
    if output == STANDARD_OUTPUT and (resume or share is not WHOLE):
        what, option = (
            "what goes to standard output leaves nothing behind",
            "--resume" if resume else "--shard",
        )
        raise OptionError(what, where=option, remedy="Name a file with --output")
    if share is not WHOLE:
        if drawn is not None:
            remedy = "Leave it out, and draw the whole"
            raise OptionError("a shard is not drawn", where="--picture", remedy=remedy)
        return {"work": Target(path=share.path(output), kind="journal", overwrite=overwrite, resume=resume)}
    targets = table_targets(output, overwrite)
    if drawn is not None:
        check_figure_suffix(drawn)
        targets["picture"] = Target(path=drawn, overwrite=overwrite)
    return targets | {"work": _work(output, overwrite=overwrite, resume=resume)}


def _work(output: Path, *, overwrite: bool, resume: bool) -> Target:
    """Where the unfinished work for a whole table lies: beside it or, of standard output, where it goes with
    the run.
    """
    if output == STANDARD_OUTPUT:
        return Target(path=temporary_folder() / f".biofm-score-{token_hex(8)}.run", kind="temporary")
    return Target(path=scratch_path(output), kind="scratch", overwrite=overwrite, resume=resume)


def _provenance(loaded: Sequence[Model], scorer: Scorer, options: ScoreOptions) -> dict[str, Any]:
    """What decides the numbers, to be written into the table or beside it."""
    pairs = zip(loaded, scorer.readers, strict=True)
    return {
        "method": options.method,
        **scorer.readers[0].tokenizer.provenance,
        "offset": options.offset,
        "models": [
            {"model": one.info.name, "sha256": one.info.sha256, "window_residues": reader.window}
            for one, reader in pairs
        ],
        "dtype": loaded[0].compute.dtype_name,
        "device": loaded[0].compute.device.type,
        "version": __version__,
        "torch_version": torch_version(),
    }


def _draw(
    first: Cases, parts: Sequence[Columns], names: Sequence[str], offset: int, handle: BinaryIO, suffix: str
) -> None:
    """The scan whose first rows and whose written columns these are."""
    scanned = first.variants[0]
    assert isinstance(scanned, Variant), "a scan has nothing else"
    sequence = scanned.wild_type
    scores = np.concatenate([part["score"].to_numpy() for part in parts])
    title = f"{first.columns['protein'][0]}: {', '.join(names)}"
    draw_scan(sequence, scan_matrix(sequence, scores), STANDARD, 1 + offset, title, handle, suffix)
