"""The verb ``perplexity``: measure how well a model predicts whole proteins."""

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import name_of_input, path_of, reading_of
from biofm.api.loading import load, model_for, with_demonstration
from biofm.core.choices import PerplexityMethod
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Request

if TYPE_CHECKING:
    from biofm.inference.scoring import PerplexitySummary


@dataclass(frozen=True, slots=True)
class Perplexity(Verb["PerplexitySummary"]):
    """Measure how well a language model predicts each protein: its perplexity, which is 1 at best.

    The table has the columns ``id``, ``record`` (its number in the input, from 1), ``n_residues`` (the
    residues that counted), ``windowed`` (whether the protein was run in windows) and ``pseudo_perplexity`` or
    ``single_pass_perplexity``, which ``biofm.inference.scoring.perplexity`` defines. Order and duplicate ids
    are kept. With ``on_error`` "skip", records that cannot be read are left out and counted. Where the
    model's numbers are not finite, the cell is empty and a last column, ``reason``, says so.

    Raises:
        InputError, OutputError, ModelError, OptionError: The message says what is wrong, where, and what to
            do.
    """

    input: options.Input
    output: options.Table
    _: KW_ONLY
    model: options.ModelName = None
    method: Annotated[
        PerplexityMethod,
        Option(
            "Choose how the model predicts the residues: pseudo masks each residue once, one at a time; "
            "single-pass shows all of them in one run, which is faster and usually gives a lower perplexity.",
            metavar="METHOD",
            group="Model",
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
        reading_of(self, self.gaps)  # refuses unknown words
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
            notices=with_demonstration(+notices, loaded.info.name),
            **tally,
        )


perplexity = verb(Perplexity)
