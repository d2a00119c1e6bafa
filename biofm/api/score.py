"""``score``: what models expect of variants."""

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
from biofm.policy import NONE, Contacts, Reads, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.api.score_job import ScoreJob
    from biofm.gate import Permit
    from biofm.inference.scoring import ScoreEstimate, ScoreOptions, ScoreSummary, Sources


@dataclass(frozen=True, slots=True)
class Score(Verb["ScoreSummary"]):
    """Score variants of proteins with a language model: natural logarithms, the wild type is 0, higher is
    what the model expects more.

    Every column of the table of ``variants`` is passed on; behind them stand the method, whether windows were
    needed, a score for each of ``models`` and their mean. Wild types come from the file ``wild_type`` (one
    record for all rows, or several named by ``protein_column``) or from the table's ``sequence_column``. With
    ``all_singles``, ``variants`` is None: every substitution of every wild type is scored, and ``picture``
    draws one protein's.

    A row whose variant makes no protein (a stop codon, a frameshift, an empty cell) has an empty score and
    its reason in the column ``reason``; so has a row at fault where ``on_error`` is "skip". The notations are
    those of ``biofm_datasets.variants``, the numbering that of ``biofm_datasets.changes.locate``, the methods
    those of ``biofm.inference.scoring.methods``. All models are in memory at once; the table is not.

    However a run ends, what it has done is kept beside the output, and ``resume`` goes on with it: the scores
    are those of a run that was never stopped; of a run that had ended it finds the table, and says so.
    ``shard`` "2/8" scores the second of eight shares and leaves it as ``OUTPUT.shard-2-of-8``, for ``merge``.
    ``output`` "-" is standard output: CSV, whole or not at all, and no work is kept to go on with.

    ``Score(...).estimate()`` says what a run will take in time, memory and space on the disk: it reads
    everything, runs a sample for some seconds, and writes nothing.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """

    variants: Annotated[
        str | Path | None,
        Option(
            "The table of variants: CSV (also .gz), TSV or Parquet; - is standard input. There is none where "
            "all substitutions are scored.",
            left_out=True,
        ),
        Reads("variants", once=True),
    ]
    output: options.Table
    _: KW_ONLY
    wild_type: Annotated[
        str | Path | None,
        Option(
            "The file of the wild type, or of several: FASTA (also .gz), CSV, TSV or Parquet; - is standard "
            "input.",
            short="-w",
        ),
        Reads("wild_type", once=True),
    ] = None
    all_singles: Annotated[
        bool,
        Option("Score every substitution of the wild types instead of a table of variants."),
        NONE,
    ] = False
    models: Annotated[
        Sequence[str | Path],
        Option(
            "The model, or several, repeated on a command line: each has a column of scores, and their mean "
            f"has one. {options.MODEL_OR_DEFAULT}",
            flag="--model",
            short="-m",
        ),
        Reads("model"),
        Contacts("hub"),
    ] = ()
    method: Annotated[
        ScoreMethod,
        Option(
            "How substitutions are scored: masked-marginals masks each changed residue, wt-marginals shows "
            "the whole wild type in one run, which is quickest, pseudo-perplexity masks every residue in "
            "turn, which is slowest. Insertions and deletions are always scored by pseudo-perplexity."
        ),
        NONE,
    ] = "masked-marginals"
    offset: Annotated[
        int,
        Option("What the variants' numbering adds: 23 where H24 is the first residue of the wild type."),
        NONE,
    ] = 0
    format: Annotated[
        FormatWord | None,
        Option(
            "The format of the variants, or of the wild types where all substitutions are scored, where no "
            "name says it, as of standard input."
        ),
        NONE,
    ] = None
    modality: options.As = None
    variant_column: Annotated[
        str | None,
        Option(
            "The column of variants, such as A24G or p.Ala24Gly. By default the first that is named mutant, "
            "variant, mutation or hgvs_pro."
        ),
        NONE,
    ] = None
    mutated_column: Annotated[
        str | None,
        Option(
            "The column of whole mutated sequences, instead of one of variants. By default it is "
            "mutated_sequence, where there is no column of variants."
        ),
        NONE,
    ] = None
    protein_column: Annotated[
        str | None,
        Option("The column that names the wild type of each row, where there are several."),
        NONE,
    ] = None
    sequence_column: Annotated[
        str | None,
        Option(
            "The column of wild types: in the file of wild types where that is a table, else in the table of "
            "variants."
        ),
        NONE,
    ] = None
    picture: Annotated[
        str | Path | None,
        Option("Draw all substitutions of one protein as a heat map: .svg .png .pdf"),
        Writes("picture"),
    ] = None
    dtype: options.Dtype = "float32"
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    on_error: Annotated[
        OnError,
        Option(
            "What to do at a faulty row: stop, or skip it, which leaves its score empty and says why in the "
            "column reason."
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

    def estimate(self) -> "ScoreEstimate":
        """What ``run`` will take."""
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
        """Load the models, which say what the rows are of, and read the first rows."""
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
        """The files of the rows, by role. Raises OptionError for options that do not fit."""
        self._how(), self._sources, work_of(self), self._columns  # each checks its own options
        return self._sources.files()

    def _how(self) -> "ScoreOptions":
        """How variants are read and scored."""
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
        """The models that are named; where none is, the default one for what the wild types are."""
        wild_types = self.wild_type or self.variants or STANDARD_STREAM
        return [str(model) for model in self.models or [model_for(None, self.modality, wild_types)]]

    @property
    def _columns(self) -> list[str]:
        """The names of the models' columns."""
        from biofm.inference.scoring import column_names  # brings torch

        return column_names(self._models)

    @property
    def _named(self) -> str:
        return ", ".join(self._models)

    def _targets(self) -> dict[str, Target]:
        """What is written, by role.

        Raises OutputError for a suffix that no table or picture has, and OptionError for a picture of a shard
        and for an option that does not fit standard output.
        """
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.tables import check_table_suffix
        from biofm.report import check_figure_suffix

        output = Path(self.output)
        check_table_suffix(output)
        if output == STANDARD_STREAM and (self.resume or self.shard is not None):
            what = "what goes to standard output leaves nothing behind"
            where = "--resume" if self.resume else "--shard"
            raise OptionError(what, where=where, remedy="Name a file with --output")
        if self.shard is not None:
            if self.picture is not None:
                remedy = "Leave it out, and draw the whole"
                raise OptionError("a shard is not drawn", where="--picture", remedy=remedy)
            return {"work": work_of(self).target}
        targets = table_targets(output, self.overwrite)
        if self.picture is not None:
            check_figure_suffix(Path(self.picture))
            targets["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        return targets | {"work": work_of(self).target}


score = verb(Score)
