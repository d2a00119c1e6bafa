"""The verb ``evaluate``: compare scores with measurements and with baselines."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import STANDARD_STREAM, path_of
from biofm.core.choices import ON_ERROR, OnError, check_choice
from biofm.core.errors import InputError, OutputError, input_errors
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, Target, Writes

if TYPE_CHECKING:
    from biofm.evaluation import Assay, EvaluateOptions, Evaluation
    from biofm.gate import Permit


@dataclass(frozen=True, slots=True)
class Evaluate(Verb["Evaluation"]):
    """Compare scores with measurements by Spearman, AUROC, NDCG and MCC, beside baselines.

    Each measure has a bootstrap interval. The baselines are BLOSUM62 and a ridge regression on the
    measurements, as far as ``variant_column``, ``mutated_column`` and ``wild_type`` describe the variants.

    AUROC and MCC need positive rows: those where ``binary_column`` is 1, or whose measurement is at or above
    ``threshold`` or, by default, the median. With a ``split_column`` of train and test the ridge learns from
    the training rows and everything is judged on the test rows; without one it predicts each fifth of the
    rows from the others.

    ``modality`` names what the whole sequences are. For a modality whose variants biofm cannot read, the
    ridge on ``mutated_column`` is the only baseline, and ``variant_column`` and ``wild_type`` are refused.

    Raises:
        InputError, OutputError, OptionError: The message says what is wrong, where, and what to do.
    """

    table: Annotated[
        str | Path,
        Option("Read scores and measurements from this table: CSV, TSV or Parquet, one row per variant."),
        Reads("table"),
    ]
    _: KW_ONLY
    measured_column: Annotated[
        str,
        Option(
            "Read the measurements from this column; a higher one is better.",
            flag="--measured-column",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ]
    score_column: Annotated[
        str | Sequence[str] | None,
        Option(
            "Judge the scores of this column; a higher score predicts a higher measurement. Repeat it for "
            "several. By default nothing is judged, and an error lists the columns of numbers.",
            flag="--score-column",
            left_out=True,
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ]
    variant_column: Annotated[
        str | None,
        Option(
            "Read the variants, such as A24G, A24G:T30P or p.Ala24Gly, from this column. By default it is "
            "the first named mutant, variant, mutation or hgvs_pro, unless --mutated-column is given.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    mutated_column: Annotated[
        str | None,
        Option(
            "Read the whole sequences of the variants from this column. By default none is read.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    wild_type: Annotated[
        str | Path | None,
        Option(
            "Read the wild type from this FASTA file. By default it is put together from the variants.",
            metavar="FILE",
            group="Input",
        ),
        Reads("wild_type"),
    ] = None
    modality: Annotated[
        str | None,
        Option(
            f"Name what the whole sequences are, such as protein; {options.LOOKALIKES}. By default they are "
            "proteins.",
            flag="--as",
            metavar="NAME",
            group="Input",
        ),
        NONE,
    ] = None
    binary_column: Annotated[
        str | None,
        Option(
            "Read from this column of 0 and 1 which rows are positive for AUROC and MCC. By default the "
            "threshold decides.",
            metavar="COLUMN",
            group="Input",
        ),
        NONE,
    ] = None
    threshold: Annotated[
        float | None,
        Option(
            "Count measurements at or above this value as positive for AUROC and MCC. By default it is the "
            "median.",
            group="Input",
        ),
        NONE,
    ] = None
    split_column: Annotated[
        str | None,
        Option(
            "Read from this column which rows are train and which are test: the ridge learns from the first, "
            "and everything is judged on the others. By default the ridge predicts each fifth of the rows "
            "from the rest.",
            metavar="COLUMN",
            group="Split",
        ),
        NONE,
    ] = None
    mean_rank: Annotated[
        bool, Option("Judge also the mean of the ranks of all scores.", group="Run"), NONE
    ] = False
    n_resamples: Annotated[
        int,
        Option(
            "Draw the rows this many times for the 95 % intervals; 0 computes no intervals.",
            flag="--resamples",
            group="Run",
        ),
        NONE,
    ] = 1000
    seed: Annotated[
        int, Option("Set the seed of every random choice (drawn rows, folds).", group="Run"), NONE
    ] = 0
    output: Annotated[
        str | Path | None,
        Option(
            "Write the result as JSON into this file, whose name ends in .json. By default it is only "
            "printed or, in Python, returned.",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("output"),
    ] = None
    picture: Annotated[
        str | Path | None,
        Option(
            f"Draw scores against measurements into this file. {options.FIGURE}",
            metavar="FILE",
            group="Output",
        ),
        Writes("picture"),
    ] = None
    on_error: Annotated[
        OnError,
        Option(
            "Choose what happens at a faulty row: stop ends the run with an error, skip leaves the row out "
            "and counts it.",
            group="Input",
        ),
        NONE,
    ] = "stop"
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.evaluation import unread_variants  # brings torch

        modality = self._how().modality  # refuses options that do not fit
        check_choice("--on-error", self.on_error, ON_ERROR)
        source = path_of(self.table)
        if source == STANDARD_STREAM:
            what = "the table is read several times and cannot come through a pipe"
            raise InputError(what, where="standard input", remedy="Name a file")
        reads: dict[str, tuple[Path, ...]] = {"table": (source,)}
        if self.wild_type is not None:
            if not modality.has_variants:
                raise unread_variants(modality, "--wild-type")
            reads["wild_type"] = (path_of(self.wild_type),)
        return self.asking(reads=reads, writes=self._targets())

    def run(self, progress: ProgressSink = SILENT) -> "Evaluation":
        from biofm.core import sha256_of  # these bring numpy and torch
        from biofm.evaluation import evaluate_assay, read_assay
        from biofm.gate import ask

        request, how, name = self.request(), self._how(), str(self.table)
        notices: Counter[str] = Counter()
        with ask(request) as permit, progress.stages() as bar, input_errors():
            stream = permit.reader("table")
            sha256 = sha256_of([stream])
            _require_columns(stream, name, how)
            wild_type = None
            if self.wild_type:
                wild_type = _read_wild_type(permit.reader("wild_type"), str(self.wild_type), how)
            assay = read_assay(stream, name, how, wild_type, notices, skip_faulty=self.on_error == "skip")
            found = evaluate_assay(assay, how, sha256, notices, bar.update)
            self._write(found, assay, permit)
        return found

    def _how(self) -> "EvaluateOptions":
        from biofm.evaluation import EvaluateOptions  # these bring torch
        from biofm.models import modality_named

        named = self.score_column  # without one, an error names the columns of numbers
        return EvaluateOptions(
            measured_column=self.measured_column,
            score_columns=(named,) if isinstance(named, str) else tuple(named or ()),
            variant_column=self.variant_column,
            mutated_column=self.mutated_column,
            binary_column=self.binary_column,
            threshold=self.threshold,
            split_column=self.split_column,
            with_mean=self.mean_rank,
            n_resamples=self.n_resamples,
            seed=self.seed,
            modality=modality_named(self.modality),
            insists=self.modality is not None,
        )

    def _targets(self) -> dict[str, Target]:
        writes = {}
        if self.output:
            if Path(self.output).suffix.lower() != ".json":
                what = "the result is written as JSON, so the name must end in .json"
                raise OutputError(what, where=str(self.output), remedy="Rename the output")
            writes["output"] = Target(path=Path(self.output), overwrite=self.overwrite)
        if self.picture:
            from biofm.report import check_figure_suffix  # brings numpy

            check_figure_suffix(Path(self.picture))
            writes["picture"] = Target(path=Path(self.picture), overwrite=self.overwrite)
        return writes

    def _write(self, found: "Evaluation", assay: "Assay", permit: "Permit") -> None:
        if self.output:
            text = json.dumps(asdict(found), indent=2, allow_nan=False)
            permit.writer("output").write(text.encode() + b"\n")
        if self.picture:
            handle, suffix = permit.writer("picture"), Path(self.picture).suffix
            _draw(found, assay, handle, suffix, self.mean_rank, Path(self.table).name)


def _require_columns(stream: BinaryIO, name: str, how: "EvaluateOptions") -> None:
    """Raise DataError if there is no measured column, and InputError, which lists the columns of numbers, if
    no column of scores is named.
    """
    from biofm_datasets.columns import find_numeric_columns, read_names  # brings numpy
    from biofm_datasets.tables import find_column

    find_column(read_names(stream, name), how.measured_column, name)
    if not how.score_columns:
        names = find_numeric_columns(stream, name)
        here = f"Numeric columns are: {', '.join(names)}" if names else "No column is numeric"
        remedy = f"Name one or more with --score-column (in Python, score_column=). {here}"
        raise InputError("no column of scores was named", where=name, remedy=remedy)


def _read_wild_type(stream: BinaryIO, name: str, how: "EvaluateOptions") -> str:
    """Return the one sequence of a FASTA file."""
    from biofm_datasets import read_sequences
    from biofm_datasets.formats import is_table
    from biofm_datasets.text import format_count

    if is_table(name):
        what = "this is a table, but the wild type is read from FASTA"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    records = list(read_sequences(stream, name))
    if len(records) != 1:
        what = f"this file holds {format_count(len(records), 'sequence')}, and there is one wild type"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    return how.modality.accept(records[0], Counter(), gaps="refuse", insists=how.insists).sequence


def _draw(
    found: "Evaluation", assay: "Assay", handle: BinaryIO, suffix: str, with_mean: bool, source: str
) -> None:
    """Draw each score against the measurements into ``handle``.

    A column such as ``score`` names no model, so each axis names ``source``, the file of the scores.
    """
    import numpy as np  # as heavy as what follows

    from biofm.evaluation import scores_to_judge
    from biofm.report import ScatterPanel, draw_scatter

    panels = []
    for name, values in scores_to_judge(assay, with_mean=with_mean).items():
        rows = assay.is_judged & ~np.isnan(values)
        spearman = found.row(name).spearman
        panels.append(ScatterPanel(name, values[rows], assay.measured[rows], spearman.value, spearman.bounds))
    models = [panel.name.removeprefix("score_") for panel in panels]
    draw_scatter(panels, found.measured, handle, suffix, score_name=f"score in {source}", models=models)


evaluate = verb(Evaluate)
