"""``embed``, from file to file."""

from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

from biofm_datasets.protein import Gaps

from biofm.api.finished import ALREADY_WHOLE, check_finished, provenance_of
from biofm.api.model import DEFAULT_MODEL, Model, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.table import table_targets, write_table
from biofm.core import Progress
from biofm.core.journal import Journal
from biofm.core.stores import check_suffix
from biofm.core.stores.made import files_of
from biofm.gate import ask, scratch_path, was_finished
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference import Embedder, EmbedOptions
from biofm.inference.empty_rows import EMPTY_ROWS
from biofm.inference.intake import Intake
from biofm.inference.pooling import PoolName
from biofm.inference.results import EmbedSummary
from biofm.inference.shards import WHOLE, Shard
from biofm.inference.to_journal import Totals, embed_to_journal, fingerprint, read_through
from biofm.modalities.records import RecordOptions, records_of_file
from biofm.policy import Target

BEGUN_AFRESH = "runs begun at the start, since --resume found no unfinished work"
REPEATED = "sequences that repeat another, embedded once for all of them"


def embed(
    input: str | Path,
    output: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    pool: PoolName = "mean",
    layer: int = -1,
    window: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    format: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    shard: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
) -> EmbedSummary:
    """Embed the proteins of a file (FASTA, CSV, TSV, Parquet; ``-`` is standard input) into a file.

    ``format`` (fasta, csv, tsv, parquet) says what a name or standard input does not.
    ``output``'s suffix chooses the format: .h5ad, .parquet, .npz, .safetensors or .csv. ``pool`` is over
    residues, special tokens left out; "none" writes a row a residue. ``layer`` 0 is the token embeddings, -1
    the last layer with the final norm. ``window`` (residues) embeds longer proteins by windows that overlap
    by half. ``gaps`` of alignments (``-`` and ``.``) are to "drop", to "keep" as tokens, or to "refuse".
    ``modality`` "protein" takes sequences whose letters look like DNA or a molecule, which are refused else.
    Order and duplicate ids are kept; identical sequences are embedded once; memory does not grow
    with the file; the output appears under its name only when it is whole.

    However a run ends, what it has done is kept beside the output, and ``resume`` goes on with it: the values
    are those of a run that was never stopped. Of a run that had ended it finds the output, and says so.
    ``shard`` "2/8" embeds the second of eight shares and leaves it as ``OUTPUT.shard-2-of-8``, for ``merge``
    to make one table of all eight.

    ``on_error`` "skip" leaves out faulty records; where the model's numbers are not finite, the rows are
    there without values (empty cells in .csv, else NaN), and the provenance says why.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    source, target = path_of(input), Path(output)
    options = EmbedOptions(
        pool=pool, layer=layer, window=window, tokens_per_batch=tokens_per_batch, on_error=on_error
    )
    reading = RecordOptions(
        format=format, column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
    )
    share = WHOLE if shard is None else Shard.parse(shard)
    writes = _targets(target, share, overwrite=overwrite, resume=resume)
    made = writes.get("output", writes["work"]).path
    reads: dict[str, tuple[Path, ...]] = {"input": (source,)}
    if is_finished := resume and not overwrite and was_finished(made):
        reads, writes = reads | files_of(made), {}
    request = request_of("embed", reads=reads, writes=writes, model=str(model))
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request) as permit:
        stream = permit.reader("input")
        loaded = load(model, device=device, dtype=dtype)
        records = records_of_file(stream, name, loaded.modality, reading, notices)
        embedder = loaded.embedder(options)
        began, provenance = perf_counter(), loaded.provenance(embedder, gaps)
        if is_finished:
            found = read_through(embedder, Intake(records, stream), share, notices)
            made_so = check_finished(permit, made, provenance, found.digest, share)
            notices[ALREADY_WHOLE] += 1
            seconds = perf_counter() - began
            return _summary_of_finished(made, made_so, found, loaded, embedder, notices, seconds)
        journal = permit.journal("work")
        is_afresh = resume and not journal.n_done
        journal.begin(fingerprint(embedder, provenance, share), provenance)
        with Progress("embedding", quiet=quiet) as bar:
            n_tokens = embed_to_journal(embedder, Intake(records, stream), journal, share, name, notices, bar)
        notices[EMPTY_ROWS] = journal.counts["empty"]
        if share is WHOLE:
            notices[EMPTY_ROWS] = write_table([journal], permit, target, quiet).n_empty
        notices[BEGUN_AFRESH] += is_afresh
        seconds = perf_counter() - began
        return _summary(journal, made, loaded, embedder, notices, seconds, n_tokens / seconds)


def _summary(
    journal: Journal,
    made: Path,
    loaded: Model,
    embedder: Embedder,
    notices: Counter[str],
    seconds: float,
    tokens_per_second: float,
) -> EmbedSummary:
    counts, n_sequences = journal.counts, journal.n_done
    notices[REPEATED] += n_sequences - journal.n_rows
    return EmbedSummary(
        output=str(made),
        n_sequences=n_sequences,
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        n_rows=counts["residues"] if embedder.is_per_residue else n_sequences,
        n_dimensions=embedder.config.d_model,
        seconds=seconds,
        tokens_per_second=tokens_per_second,
        dtype_reason=loaded.compute.reason,
        provenance=provenance_of(journal),
        notices=dict(+notices),
    )


def _summary_of_finished(
    made: Path,
    provenance: dict[str, Any],
    found: Totals,
    loaded: Model,
    embedder: Embedder,
    notices: Counter[str],
    seconds: float,
) -> EmbedSummary:
    return EmbedSummary(
        output=str(made),
        n_sequences=found.n_sequences,
        n_residues=found.n_residues,
        n_tokens=0,
        n_rows=found.n_residues if embedder.is_per_residue else found.n_sequences,
        n_dimensions=embedder.config.d_model,
        seconds=seconds,
        tokens_per_second=0.0,
        dtype_reason=loaded.compute.reason,
        provenance=provenance,
        notices=dict(+notices),
    )


def _targets(output: Path, share: Shard, *, overwrite: bool, resume: bool) -> dict[str, Target]:
    check_suffix(output)
    if share is not WHOLE:
        return {"work": Target(path=share.path(output), kind="journal", overwrite=overwrite, resume=resume)}
    work = Target(path=scratch_path(output), kind="scratch", overwrite=overwrite, resume=resume)
    return table_targets(output, overwrite) | {"work": work}
