"""The verb ``score``: score variants of proteins by what language models predict."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

from biofm_datasets.choices import FormatWord

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import STANDARD_STREAM, path_of
from biofm.api.loading import load, model_for
from biofm.api.work import work_of
from biofm.core.choices import OnError, ScoreMethod
from biofm.core.errors import OptionError
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, ConnectsTo, Reads, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.api.score_job import ScoreJob
    from biofm.gate import Permit
    from biofm.inference.scoring import ScoreEstimate, ScoreOptions, ScoreSummary, Sources


@dataclass(frozen=True, slots=True)
class Score(Verb["ScoreSummary"]):
    """Score variants of proteins with language models, relative to the wild type.

    Scores are natural logarithms: 0 is the wild type, and a higher score is a likelier variant. The output
    has every column of the table of ``variants``, then the method, whether windows were needed, a score for
    each of ``models`` and their mean. Wild types come from the file ``wild_type`` (one record for all rows,
    or several that ``protein_column`` names) or from the table's ``sequence_column``. With ``all_singles``,
    ``variants`` is None: every substitution of every wild type is scored, and ``picture`` draws those of one
    protein.

    A variant that makes no protein (a stop codon, a frameshift, an empty cell) has an empty score and its
    reason in the column ``reason``, and so has a faulty row if ``on_error`` is "skip". Notations are those of
    ``biofm_datasets.variants``, numbers those of ``biofm_datasets.changes.locate``, methods those of
    ``biofm.inference.scoring.methods``. All models are in memory at once; the table is not.

    However a run ends, its finished work is kept beside the output. ``resume`` continues it, with the same
    scores as a run that was never interrupted; if the run had finished, it checks the table and says so.
    ``shard`` "2/8" scores the second of eight shards and leaves it as ``OUTPUT.shard-2-of-8``, for ``merge``.
    Standard output gets the complete table or nothing, and no work is kept to resume.

    ``Score(...).estimate()`` predicts the time, memory and disk space of a run: it reads everything, runs a
    sample for some seconds, and writes nothing.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
    """

    variants: Annotated[
        str | Path | None,
        Option(
            "Read the variants from this table: CSV (also .gz), TSV or Parquet; - is standard input. By "
            "default there is none, which is for scoring all substitutions.",
            left_out=True,
        ),
        Reads("variants", once=True),
    ]
    output: options.Table
    _: KW_ONLY
    wild_type: Annotated[
        str | Path | None,
        Option(
            "Read one or several wild types from this file: FASTA (also .gz), CSV, TSV or Parquet; - is "
            "standard input. By default the table of variants holds them.",
            short="-w",
            metavar="FILE",
            group="Input",
        ),
        Reads("wild_type", once=True),
    ] = None
    all_singles: Annotated[
        bool,
        Option("Score every substitution of the wild types instead of a table of variants.", group="Input"),
        NONE,
    ] = False
    models: Annotated[
        Sequence[str | Path],
        Option(
            f"{options.MODEL_OR_DEFAULT} Several models give a column of scores each, and a column of their "
            "mean; repeat the option for several.",
            flag="--model",
            short="-m",
            metavar="MODEL",
            group="Model",
        ),
        Reads("model"),
        ConnectsTo("hub"),
    ] = ()
    method: Annotated[
        ScoreMethod,
        Option(
            "Score substitutions by this method: masked-marginals masks each changed residue; wt-marginals "
            "shows the whole wild type in one run, which is fastest; pseudo-perplexity masks every residue "
            "in turn, which is slowest. Insertions and deletions are always scored by pseudo-perplexity.",
            metavar="METHOD",
            group="Model",
        ),
        NONE,
    ] = "masked-marginals"
    offset: Annotated[
        int,
        Option(
            "Subtract this from the residue numbers of the variants: 23 if H24 is the first residue of the "
            "wild type.",
            group="Input",
        ),
        NONE,
    ] = 0
    format: Annotated[
        FormatWord | None,
        Option(
            "Read the variants, or with --all-singles the wild types, as this format: fasta, csv, tsv or "
            "parquet. By default the file's suffix decides; a table on standard input needs this.",
            metavar="FORMAT",
            group="Input",
        ),
        NONE,
    ] = None
    modality: options.As = None
    variant_column: Annotated[
        str | None,
        Option(
            "Read the variants, such as A24G or p.Ala24Gly, from this column. By default it is the first "
            "that is named mutant, variant, mutation or hgvs_pro.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    mutated_column: Annotated[
        str | None,
        Option(
            "Read whole mutated sequences from this column, instead of variants. By default it is "
            "mutated_sequence if there is no column of variants.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    protein_column: Annotated[
        str | None,
        Option(
            "Read the id of each row's wild type from this column. By default there is one wild type for all "
            "rows.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    sequence_column: Annotated[
        str | None,
        Option(
            "Read the wild types from this column of their own table or, without one, of the table of "
            "variants. By default they come from a FASTA file.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    picture: Annotated[
        str | Path | None,
        Option(
            f"Draw all substitutions of one protein as a heat map into this file. {options.FIGURE}",
            metavar="FILE",
            group="Output",
        ),
        Writes("picture"),
    ] = None
    dtype: options.Dtype = "float32"
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    on_error: Annotated[
        OnError,
        Option(
            "Choose what happens at a faulty row: stop ends the run with an error, skip leaves the score "
            "empty and gives the reason in the column reason.",
            group="Input",
        ),
        NONE,
    ] = "stop"
    shard: options.Shard = None
    resume: options.Resume = False
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.core.outputs import files_with_provenance  # brings numpy

        reads, writes, work = self._reads(), self._targets(), work_of(self)
        if work.is_finished:
            reads, writes = reads | files_with_provenance(work.made), {}
        return self.asking(reads=reads, writes=writes, model=self._named)

    def models_loaded(self, request: Request, permit: "Permit") -> tuple[str, ...]:
        return tuple(self._models)

    def estimate(self) -> "ScoreEstimate":
        """Predict the time, memory and disk space of ``run``; read all of the input, and write nothing."""
        from biofm.gate import ask  # brings numpy

        undrawn = replace(self, picture=None)  # an estimate draws nothing
        request = self.asking(reads=undrawn._reads(), model=self._named, is_estimate=True)
        with ask(request) as permit:
            return undrawn._begin(permit).estimate()

    def run(self, progress: ProgressSink = SILENT) -> "ScoreSummary":
        from biofm.gate import ask  # brings numpy

        request = self.request()
        with ask(request) as permit:
            job = self._begin(permit)
            return job.find(permit) if "output" in request.reads else job.run(permit, progress)

    def _begin(self, permit: "Permit") -> "ScoreJob":
        """Load the models, which decide what is read, and read the first rows."""
        from biofm.api.score_job import ScoreJob  # these bring torch
        from biofm.inference.scoring import Rows, Scorer

        loaded = [load(model, device=self.device, dtype=self.dtype) for model in self._models]
        scorer = Scorer([one.scoring_model(self.tokens_per_batch) for one in loaded], self.method)
        notices: Counter[str] = Counter()
        cases = self._sources.cases(permit.reader, scorer.modality, self._how(), notices)
        first = next(cases)
        return ScoreJob(
            work=work_of(self),
            picture=None if self.picture is None else Path(self.picture),
            offset=self.offset,
            on_error=self.on_error,
            names=self._columns,
            loaded=loaded,
            scorer=scorer,
            where=self._sources.name,
            first=first,
            rows=Rows(chain([first], cases), scorer, notices),
            notices=notices,
            began=perf_counter(),
        )

    def _reads(self) -> dict[str, tuple[Path, ...]]:
        """Return the files to read, by role, or raise OptionError for options that do not fit."""
        self._how(), self._sources, work_of(self), self._columns  # each checks its own options
        return self._sources.files()

    def _how(self) -> "ScoreOptions":
        """Return how variants are read and scored."""
        from biofm.inference.scoring import ScoreOptions  # brings torch

        return ScoreOptions(
            method=self.method,
            offset=self.offset,
            variant_column=self.variant_column,
            mutated_column=self.mutated_column,
            on_error=self.on_error,
        )

    @property
    def _sources(self) -> "Sources":
        """Where the rows come from."""
        from biofm.inference.scoring import Sources  # brings torch

        return Sources(
            variants=None if self.variants is None else path_of(self.variants),
            wild_type=None if self.wild_type is None else path_of(self.wild_type),
            all_singles=self.all_singles,
            only_one=self.picture is not None,
            sequence_column=self.sequence_column,
            protein_column=self.protein_column,
            format=self.format,
            modality=self.modality,
        )

    @property
    def _models(self) -> list[str]:
        """The named models; if none is named, the default model for the kind of the wild types."""
        wild_types = self.wild_type or self.variants or STANDARD_STREAM
        return [str(model) for model in self.models or [model_for(None, self.modality, wild_types)]]

    @property
    def _columns(self) -> list[str]:
        """The names that the models' columns have."""
        from biofm.inference.scoring import column_names  # brings torch

        return column_names(self._models)

    @property
    def _named(self) -> str:
        return ", ".join(self._models)

    def _targets(self) -> dict[str, Target]:
        """Return what is written, by role.

        Raises:
            OutputError: No table or picture has this suffix.
            OptionError: A picture of a shard is asked for, or an option does not fit standard output.
        """
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.tables import check_table_suffix
        from biofm.report import check_figure_suffix

        output = Path(self.output)
        check_table_suffix(output)
        if output == STANDARD_STREAM and (self.resume or self.shard is not None):
            what = "a run that writes to standard output leaves no work behind"
            where = "--resume" if self.resume else "--shard"
            raise OptionError(what, where=where, remedy="Name a file with --output")
        if self.shard is not None:
            if self.picture is not None:
                what = "a shard holds only some of the substitutions and cannot be drawn"
                remedy = "Leave it out, and draw the figure by a run without --shard"
                raise OptionError(what, where="--picture", remedy=remedy)
            return {"work": work_of(self).target}
        targets = table_targets(output, self.overwrite)
        if self.picture is not None:
            check_figure_suffix(Path(self.picture))
            targets["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        return targets | {"work": work_of(self).target}


score = verb(Score)
