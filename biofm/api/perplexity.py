"""``perplexity``: how well a model expects whole proteins."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import load, model_for
from biofm.core.choices import PerplexityMethod
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Request

if TYPE_CHECKING:
    from biofm.inference.scoring import PerplexitySummary


@dataclass(frozen=True, slots=True)
class Perplexity(Verb["PerplexitySummary"]):
    """Judge how well a language model expects each protein: its perplexity, 1 at best.

    The table has the columns ``id``, ``record`` (its number in the input, from 1), ``n_residues`` (those that
    counted), ``windowed`` and ``pseudo_perplexity`` or ``single_pass_perplexity``, which
    ``biofm.inference.scoring.perplexity`` defines. Order and duplicate ids are kept. With ``on_error`` "skip"
    records that cannot be read are left out and counted; where the model's numbers are not finite, the cell
    is empty and a last column, ``reason``, says so.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """

    input: options.Input
    output: options.Table
    _: KW_ONLY
    model: options.ModelName = None
    method: Annotated[
        PerplexityMethod,
        Option(
            "How residues are asked for. pseudo: each is masked once, alone; single-pass: all are shown in "
            "one run, which is quicker and, as a rule, gives a lower perplexity."
        ),
        NONE,
    ] = "pseudo"
    dtype: options.Dtype = "float32"
    device: options.Device = "auto"
    tokens_per_batch: options.TokensPerBatch = None
    format: options.Format = None
    column: options.Column = None
    id_column: options.IdColumn = None
    gaps: options.AtGaps = "drop"
    modality: options.As = None
    on_error: options.AtFault = "stop"
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.api.table import table_targets  # these bring torch
        from biofm.core.tables import check_table_suffix
        from biofm.inference.scoring import check_perplexity_method

        check_perplexity_method(self.method)
        reading_of(self, self.gaps)  # refuses a word that is unknown
        source, output = path_of(self.input), Path(self.output)
        check_table_suffix(output)
        writes = table_targets(output, self.overwrite)
        return self.asking(reads={"input": (source,)}, writes=writes, model=str(self._model))

    @property
    def _model(self) -> str | Path:
        return model_for(self.model, self.modality, path_of(self.input))

    def run(self, progress: ProgressSink = SILENT) -> "PerplexitySummary":
        from biofm.api.table import open_output  # these bring torch
        from biofm.gate import ask
        from biofm.inference.runs import Intake
        from biofm.inference.scoring import PerplexitySummary, provenance_of_perplexities, write_perplexities
        from biofm.modalities.records import records_of_file

        request, name = self.request(), name_of_input(self.input)
        reading, notices = reading_of(self, self.gaps), Counter[str]()
        with ask(request) as permit:
            stream = permit.reader("input")
            loaded = load(self._model, device=self.device, dtype=self.dtype)
            intake = Intake(records_of_file(stream, name, loaded.modality, reading, notices), stream)
            model = loaded.scoring_model(self.tokens_per_batch)
            provenance = provenance_of_perplexities(
                model, loaded.info.name, self.method, self.gaps, loaded.compute
            )
            table = open_output(permit, Path(self.output), provenance)
            with progress.bar("perplexity") as bar:
                tally = write_perplexities(
                    intake, model, self.method, table, notices, bar, on_error=self.on_error
                )
        return PerplexitySummary(
            output=str(Path(self.output)),
            dtype_reason=loaded.compute.reason,
            provenance=provenance,
            notices=dict(+notices),
            **tally,
        )


perplexity = verb(Perplexity)
