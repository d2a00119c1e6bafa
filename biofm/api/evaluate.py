"""``evaluate``: scores against measurements, beside baselines."""

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
    """Judge scores against measurements: Spearman, AUROC, NDCG and MCC, beside baselines.

    Each has a bootstrap interval. Judged are each score, with ``mean_rank`` the mean of their ranks, and
    baselines: BLOSUM62 and a ridge fitted to the measurements, as far as ``variant_column``,
    ``mutated_column`` and ``wild_type`` tell the variants.

    Positive are the rows where ``binary_column`` is 1, or measurements at or above ``threshold``, or the
    median. With ``split_column``, of train and test, the ridge learns from the one and all is judged on the
    other; without, it predicts each fifth of the rows from the others.

    ``modality`` names what the whole sequences are. Where nobody here can read variants of such, the ridge on
    ``mutated_column`` is the only baseline, and ``variant_column`` and ``wild_type`` are refused.

    Raises InputError, OutputError, OptionError: each says what, where and what to do.
    """

    table: Annotated[
        str | Path, Option("The table to judge, CSV, TSV or Parquet: a row a variant."), Reads("table")
    ]
    _: KW_ONLY
    measured_column: Annotated[
        str, Option("The column of measurements; higher is better.", flag="--measured-column"), NONE
    ]
    score_column: Annotated[
        str | Sequence[str] | None,
        Option(
            "A column of scores, higher for higher measurements. Repeat it for several.",
            flag="--score-column",
            left_out=True,
        ),
        NONE,
    ]
    variant_column: Annotated[
        str | None, Option("The column of variants, such as A24G, A24G:T30P or p.Ala24Gly."), NONE
    ] = None
    mutated_column: Annotated[str | None, Option("The column of whole sequences."), NONE] = None
    wild_type: Annotated[
        str | Path | None,
        Option("A FASTA file of the wild type, where the variants do not tell enough of it."),
        Reads("wild_type"),
    ] = None
    modality: Annotated[
        str | None,
        Option("What the whole sequences are, such as protein, which is the default.", flag="--as"),
        NONE,
    ] = None
    binary_column: Annotated[
        str | None, Option("A column of 0 and 1 that says what is positive for AUROC and MCC."), NONE
    ] = None
    threshold: Annotated[
        float | None,
        Option(
            "Measurements at or above this value are positive; by default those at or above the median are."
        ),
        NONE,
    ] = None
    split_column: Annotated[
        str | None,
        Option("A column of train and test: the ridge learns from the one, all is judged on the other."),
        NONE,
    ] = None
    mean_rank: Annotated[bool, Option("Judge the mean of the scores' ranks beside them."), NONE] = False
    n_resamples: Annotated[
        int,
        Option(
            "How often rows are drawn again for the 95 % intervals; 0 for no intervals.", flag="--resamples"
        ),
        NONE,
    ] = 1000
    seed: Annotated[int, Option("The seed of the resamples and of the folds."), NONE] = 0
    output: Annotated[
        str | Path | None,
        Option("A file to write the result to, as JSON: .json", short="-o"),
        Writes("output"),
    ] = None
    picture: Annotated[
        str | Path | None, Option("Draw scores against measurements: .png .svg .pdf"), Writes("picture")
    ] = None
    on_error: Annotated[
        OnError, Option("What to do at a faulty row: stop, or skip it and count it."), NONE
    ] = "stop"
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        from biofm.evaluation import unread_variants  # brings torch

        modality = self._how().modality  # options that do not fit are refused
        check_choice("--on-error", self.on_error, ON_ERROR)
        source = path_of(self.table)
        if source == STANDARD_STREAM:
            raise InputError("a table cannot come through a pipe", where="-", remedy="Name a file")
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
            _require_scores(stream, name, how.score_columns)
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
                what = "the result is written as JSON"
                raise OutputError(what, where=str(self.output), remedy="End in .json")
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
            _draw(found, assay, permit.writer("picture"), Path(self.picture).suffix, self.mean_rank)


def _require_scores(stream: BinaryIO, name: str, scores: Sequence[str]) -> None:
    from biofm_datasets.columns import find_numeric_columns  # brings numpy

    if not scores:
        names = find_numeric_columns(stream, name)
        here = f"Numeric columns are: {', '.join(names)}" if names else "No column is numeric"
        remedy = f"Name one or more with --score-column (in Python, score_column=). {here}"
        raise InputError("no column of scores was named", where=name, remedy=remedy)


def _read_wild_type(stream: BinaryIO, name: str, how: "EvaluateOptions") -> str:
    from biofm_datasets import read_sequences
    from biofm_datasets.formats import is_table

    if is_table(name):
        what = "this is a table, where FASTA belongs"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    records = list(read_sequences(stream, name))
    if len(records) != 1:
        what = f"{len(records):,} sequences where one wild type belongs"
        raise InputError(what, where=name, remedy="Give a FASTA file of one sequence")
    return how.modality.accept(records[0], Counter(), gaps="refuse", insists=how.insists).sequence


def _draw(found: "Evaluation", assay: "Assay", handle: BinaryIO, suffix: str, with_mean: bool) -> None:
    """Draw each score against the measurements into ``handle``."""
    import numpy as np  # as heavy as what follows

    from biofm.evaluation import scores_to_judge
    from biofm.report import ScatterPanel, draw_scatter

    panels = []
    for name, values in scores_to_judge(assay, with_mean=with_mean).items():
        rows = assay.is_judged & ~np.isnan(values)
        spearman = found.row(name).spearman
        panels.append(ScatterPanel(name, values[rows], assay.measured[rows], spearman.value, spearman.bounds))
    models = [panel.name.removeprefix("score_") for panel in panels]
    draw_scatter(panels, found.measured, handle, suffix, models=models)


evaluate = verb(Evaluate)
