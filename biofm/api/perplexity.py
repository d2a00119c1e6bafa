"""``perplexity``: how well a model expects whole proteins."""

from collections import Counter
from pathlib import Path

from biofm_datasets.protein import Gaps

from biofm.api.model import DEFAULT_MODEL, load
from biofm.api.paths import path_of
from biofm.api.request import request_of
from biofm.api.table import open_output, table_targets
from biofm.core import Progress, __version__, torch_version
from biofm.core.tables import check_table_suffix
from biofm.gate import ask
from biofm.gate.inputs import STANDARD_INPUT
from biofm.inference.intake import Intake
from biofm.inference.scoring import PerplexityMethod
from biofm.inference.scoring.perplexity import check_perplexity_method, perplexities_to_table
from biofm.inference.scoring.results import PerplexitySummary
from biofm.modalities.records import RecordOptions, records_of_file


def perplexity(
    input: str | Path,
    output: str | Path,
    *,
    model: str | Path = DEFAULT_MODEL,
    method: PerplexityMethod = "pseudo",
    dtype: str = "float32",
    device: str = "auto",
    tokens_per_batch: int | None = None,
    format: str | None = None,
    column: str | None = None,
    id_column: str | None = None,
    gaps: Gaps = "drop",
    modality: str | None = None,
    on_error: str = "stop",
    overwrite: bool = False,
    quiet: bool = True,
) -> PerplexitySummary:
    """The perplexity of each protein of a file (FASTA, CSV, TSV, Parquet; ``-`` is standard input).

    ``output`` is a table (.csv, .tsv, .parquet; ``-`` is standard output, as CSV) with the columns ``id``,
    ``record`` (its number in the input, from 1), ``n_residues`` (those that counted), ``windowed`` and
    ``pseudo_perplexity`` or ``single_pass_perplexity``, which ``biofm.inference.scoring.perplexity`` defines.
    Order and duplicate ids are kept. With ``on_error`` "skip" records that cannot be read are left out and
    counted; where the model's numbers are not finite, the cell is empty and a last column, ``reason``, says
    so.

    Raises InputError, OutputError, ModelError, OptionError: each says what, where and what to do.
    """
    check_perplexity_method(method)
    reading = RecordOptions(
        format=format, column=column, id_column=id_column, on_error=on_error, gaps=gaps, modality=modality
    )
    source, target = path_of(input), Path(output)
    check_table_suffix(target)
    writes = table_targets(target, overwrite)
    request = request_of("perplexity", reads={"input": (source,)}, writes=writes, model=str(model))
    notices: Counter[str] = Counter()
    name = "standard input" if source == STANDARD_INPUT else str(source)
    with ask(request) as permit:
        stream = permit.reader("input")
        loaded = load(model, device=device, dtype=dtype)
        records = records_of_file(stream, name, loaded.modality, reading, notices)
        reader = loaded.reader(tokens_per_batch)
        provenance = {
            "method": method,
            "model": loaded.info.name,
            "sha256": loaded.info.sha256,
            "window_residues": reader.window,
            **reader.tokenizer.provenance,
            "gaps": gaps,
            "dtype": loaded.compute.dtype_name,
            "device": loaded.compute.device.type,
            "version": __version__,
            "torch_version": torch_version(),
        }
        table = open_output(permit, target, provenance)
        with Progress("perplexity", quiet=quiet) as bar:
            tally = perplexities_to_table(
                Intake(records, stream), reader, method, table, notices, bar, on_error=on_error
            )
    return PerplexitySummary(
        output=str(target),
        dtype_reason=loaded.compute.reason,
        provenance=provenance,
        notices=dict(+notices),
        **tally,
    )
