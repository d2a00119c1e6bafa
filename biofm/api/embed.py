"""The verb ``embed``: compute vectors of sequences, from file to file."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import load, model_for, with_demonstration
from biofm.api.work import work_of
from biofm.core.choices import PoolName
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.api.model import Model
    from biofm.core.journal import Journal
    from biofm.inference import Embedder, EmbedOptions, EmbedSummary
    from biofm.inference.runs import EmbedEstimate, Totals

REPEATED = "sequences that repeat another, embedded once for all of them"


@dataclass(frozen=True, slots=True)
class Embed(Verb["EmbedSummary"]):
    """Embed sequences with a language model, one row for each sequence or for each unit of it.

    Rows are in the order of the input. Duplicate ids are kept, and identical sequences are embedded once.
    Memory does not grow with the file. The output gets its name only when it is complete.

    However a run ends, its finished work is kept beside the output. ``resume`` continues it, with the same
    values as a run that was never interrupted; if the run had finished, it checks the output and says so.
    ``shard`` "2/8" embeds the second of eight shards and leaves it as ``OUTPUT.shard-2-of-8``; ``merge``
    joins all eight into one file.

    ``on_error`` "skip" leaves out faulty records. Where the model's numbers are not finite, the rows stay
    without values (empty cells in .csv, else NaN), and the provenance says why.

    ``Embed(...).estimate()`` predicts the time, memory and disk space of a run: it reads the whole file,
    embeds a sample for some seconds, and writes nothing, so that ``output`` may exist.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
    """

    input: options.Input
    output: Annotated[
        str | Path,
        Option(
            "Write the embeddings into this file. Its suffix chooses the format: .h5ad, .parquet, .npz, "
            ".safetensors or .csv.",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("output"),
    ]
    _: KW_ONLY
    model: options.ModelName = None
    pool: Annotated[
        PoolName,
        Option(
            "Combine the vectors of a sequence's units, such as residues, into one: mean and max combine all "
            "of them without the special tokens, cls takes the first token's, none writes a row for each "
            "unit.",
            metavar="WORD",
            group="Model",
        ),
        NONE,
    ] = "mean"
    layer: Annotated[
        int,
        Option(
            "Take the vectors of this layer: 0 is the token embeddings, -1 the last layer with the final "
            "norm.",
            group="Model",
        ),
        NONE,
    ] = -1
    window: Annotated[
        int | None,
        Option(f"{options.WINDOW} By default all run whole.", group="Model"),
        NONE,
    ] = None
    dtype: options.Dtype = "auto"
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    format: options.Format = None
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: options.AtGaps = "drop"
    modality: options.As = None
    on_error: options.AtFault = "stop"
    shard: options.Shard = None
    resume: options.Resume = False
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.core.outputs import files_with_provenance

        self._how()  # this and the next line refuse options that do not fit
        reading_of(self, self.gaps)
        reads: dict[str, tuple[Path, ...]] = {"input": (path_of(self.input),)}
        writes, work = self._targets(), work_of(self)
        if work.is_finished:
            reads, writes = reads | files_with_provenance(work.made), {}
        return self.asking(reads=reads, writes=writes, model=str(self._model))

    def estimate(self) -> "EmbedEstimate":
        """Predict the time, memory and disk space of ``run``; read all of the input, and write nothing."""
        from biofm.core.outputs import check_suffix  # these bring torch
        from biofm.gate import ask
        from biofm.inference.runs import estimate_embedding
        from biofm.modalities.records import records_of_file

        source, suffix = path_of(self.input), check_suffix(Path(self.output))
        how, reading, shard = self._how(), reading_of(self, self.gaps), work_of(self).shard
        request = self.asking(reads={"input": (source,)}, model=str(self._model), is_estimate=True)
        with ask(request) as permit:
            loaded = load(self._model, device=self.device, dtype=self.dtype)
            notices: Counter[str] = Counter()
            embedder = loaded.embedder(how)
            stream, name = permit.reader("input"), name_of_input(source)
            found = estimate_embedding(
                embedder,
                records_of_file(stream, name, loaded.modality, reading, notices),
                shard,
                suffix,
                notices,
                dtype_reason=loaded.compute.reason,
                provenance=loaded.provenance(embedder, self.gaps),
            )
            return replace(found, notices=with_demonstration(found.notices, loaded.info.name))

    def run(self, progress: ProgressSink = SILENT) -> "EmbedSummary":
        from biofm.api.finished import (
            ALREADY_WHOLE,
            check_finished,
            describe_resumed,
            labels_of,
        )  # brings torch
        from biofm.api.table import write_embedding_table
        from biofm.gate import ask
        from biofm.inference import EMPTY_ROWS
        from biofm.inference.runs import Intake, embed_to_journal, fingerprint, read_through
        from biofm.modalities.records import records_of_file

        request, work, name = self.request(), work_of(self), name_of_input(self.input)
        notices: Counter[str] = Counter()
        with ask(request) as permit:
            stream = permit.reader("input")
            loaded = load(self._model, device=self.device, dtype=self.dtype)
            embedder = loaded.embedder(self._how())
            done = _Done(work.made, loaded, embedder, notices, perf_counter())
            records = records_of_file(stream, name, loaded.modality, reading_of(self, self.gaps), notices)
            intake, provenance = Intake(records, stream), loaded.provenance(embedder, self.gaps)
            if "output" in request.reads:
                found = read_through(embedder, intake, work.shard, notices)
                made_so = check_finished(permit, work.made, provenance, found.digest, work.shard)
                notices[ALREADY_WHOLE] += 1
                return done.before(found, made_so)
            journal = permit.journal("work")
            n_before = journal.n_done
            journal.begin(fingerprint(embedder, provenance, work.shard), {**provenance, **labels_of(permit)})
            with progress.bar("embedding") as bar:
                n_tokens = embed_to_journal(embedder, intake, journal, work.shard, name, notices, bar)
            notices[EMPTY_ROWS] = journal.counts["empty"]
            if not work.is_shard:
                written = write_embedding_table([journal], permit, Path(self.output), progress)
                notices[EMPTY_ROWS] = written.n_empty
            if self.resume:
                words = loaded.modality.words
                of_items = words.item, words.items
                notices[describe_resumed(n_before or None, journal.n_done, of_items, "embedded")] = 1
            return done.now(journal, n_tokens)

    @property
    def _model(self) -> str | Path:
        return model_for(self.model, self.modality, path_of(self.input))

    def _how(self) -> "EmbedOptions":
        from biofm.inference import EmbedOptions  # brings torch

        return EmbedOptions(
            pool=self.pool,
            layer=self.layer,
            window=self.window,
            tokens_per_batch=self.tokens_per_batch,
            on_error=self.on_error,
        )

    def _targets(self) -> dict[str, Target]:
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.outputs import check_suffix

        output = Path(self.output)
        check_suffix(output)
        work = work_of(self)
        tables = {} if work.is_shard else table_targets(output, self.overwrite)
        return tables | {"work": work.target}


@dataclass(frozen=True, slots=True)
class _Done:
    """Holds what the summary of a run is made of."""

    made: Path  # the file that the run leaves
    loaded: "Model"
    embedder: "Embedder"
    notices: Counter[str]
    began: float

    def now(self, journal: "Journal", n_tokens: int) -> "EmbedSummary":
        """Return the summary of a run that has embedded ``n_tokens`` and finished its journal."""
        from biofm.api.finished import provenance_of  # brings numpy

        counts, n_sequences = journal.counts, journal.n_done
        self.notices[REPEATED] += n_sequences - journal.n_rows
        return self._summary(
            n_sequences, counts["residues"], counts["tokens"], n_tokens, provenance_of(journal)
        )

    def before(self, found: "Totals", provenance: Mapping[str, Any]) -> "EmbedSummary":
        """Return the summary of a run that found its output complete."""
        return self._summary(found.n_sequences, found.n_residues, 0, 0, provenance)

    def _summary(
        self, n_sequences: int, n_units: int, n_tokens: int, n_new_tokens: int, provenance: Mapping[str, Any]
    ) -> "EmbedSummary":
        from biofm.inference import EmbedSummary  # brings torch

        seconds = perf_counter() - self.began
        return EmbedSummary(
            output=str(self.made),
            n_sequences=n_sequences,
            n_residues=n_units,
            n_tokens=n_tokens,
            n_rows=n_units if self.embedder.is_per_residue else n_sequences,
            n_dimensions=self.embedder.config.d_model,
            seconds=seconds,
            tokens_per_second=n_new_tokens / seconds,
            dtype_reason=self.loaded.compute.reason,
            provenance=dict(provenance),
            notices=with_demonstration(+self.notices, self.loaded.info.name),
        )


embed = verb(Embed)
