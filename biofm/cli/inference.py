"""What the commands that run a model print, and ``biofm neighbours`` and ``biofm merge``, which go on with
results.

Each ``show_...`` is given the verb as it was asked, what came of it, and whether to print that as JSON.
Results go to standard output, everything about them to standard error.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from typer import BadParameter

from biofm.api import Contacts, Embed, Merge, Neighbours, Perplexity, Predict, Score
from biofm.cli.printing import (
    place_of,
    print_json,
    print_table,
    refuse_two_outputs,
    say,
    say_notices,
    say_remarks,
    spelt_counts,
)
from biofm.core.errors import OptionError

if TYPE_CHECKING:
    from biofm.inference import EmbedSummary, FoundNeighbours, MergeSummary
    from biofm.inference.prediction import PredictSummary
    from biofm.inference.runs import ContactsSummary, StructureSummary
    from biofm.inference.scoring import PerplexitySummary, ScoreMergeSummary, ScoreSummary


def show_embed(asked: Embed, summary: "EmbedSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _say_run(summary)
        say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")


def show_perplexity(asked: Perplexity, summary: "PerplexitySummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    _say_run(summary)
    if summary.perplexity is not None:
        made = summary.provenance
        say(f"{made['method']} perplexity of all {made['units']}: {summary.perplexity:.2f}")
    say(f"{summary.n_sequences:,} rows -> {place_of(summary.output)}")


def show_predict(asked: Predict, summary: "PredictSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    say_remarks(remark for remark in summary.remarks if remark.is_warning or not as_json)
    if as_json:
        print_json(summary)
    else:
        _say_run(summary)
        what = f"{summary.task} of {', '.join(summary.targets)} by {summary.n_members}"
        say(f"{what} -> {place_of(summary.output)}")


def show_contacts(asked: Contacts, summary: "ContactsSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        if summary.structure:
            _print_precision(summary.structure)
        _say_run(summary)
        say(f"contacts -> {summary.output}")
    if asked.picture:
        say(f"picture -> {asked.picture}")


def show_score(asked: Score, summary: "ScoreSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    provenance, speed = summary.provenance, summary.variants_per_second
    decimals = 0 if speed >= 10 else 2  # a long deletion takes seconds
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    say(f"{summary.n_variants:,} variants, {summary.n_tokens:,} tokens, {speed:,.{decimals}f} variants/s")
    say(f"{_spelt_scores(summary)} -> {place_of(summary.output)}")
    if asked.picture:
        say(f"picture -> {asked.picture}")


def show_merge(asked: Merge, summary: "MergeSummary | ScoreMergeSummary", as_json: bool) -> None:
    from biofm.inference import MergeSummary  # brings numpy: not before a command runs

    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    if isinstance(summary, MergeSummary):
        items = summary.provenance.get("items", "proteins")  # an earlier biofm left it out
        say(f"{summary.n_sequences:,} {items}, {summary.n_unique:,} sequences, {summary.n_shards} shards")
        say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
    else:
        what = f"{_spelt_scores(summary)}, {summary.n_shards} shards"
        say(f"{what} -> {place_of(summary.output)}")
    say("The shards are left as they are; they are no longer needed")


def show_neighbours(asked: Neighbours, found: "FoundNeighbours", as_json: bool) -> None:
    say_notices(found.notices)
    pairs = [(id_, *near) for row, id_ in enumerate(found.ids) for near in found.of(row)]
    if as_json:
        print_json([{found.item: id_, "nearest": other, "cosine": cosine} for id_, other, cosine in pairs])
    else:
        rows = [(id_, other, f"{cosine:.3f}") for id_, other, cosine in pairs]
        print_table(rows, header=(found.item, "nearest", "cosine"))
    if asked.picture:
        say(f"picture -> {asked.picture}")


def check_output(asked: Merge | Perplexity | Predict | Score, as_json: bool) -> None:
    """Raise OptionError where the table and the result would both go to standard output."""
    refuse_two_outputs(Path(asked.output), as_json)


def check_neighbours(asked: Neighbours, as_json: bool) -> None:
    """Raise BadParameter, wrong usage of the command line, where ``--top`` is out of range."""
    from biofm.inference import check_top  # brings torch

    try:
        check_top(asked.top)
    except OptionError as error:
        raise BadParameter(f"{error.what}. {error.remedy}", param_hint=f"'{error.where}'") from error


def _say_run(summary: "ContactsSummary | EmbedSummary | PerplexitySummary | PredictSummary") -> None:
    """Say in which dtype and where the model ran, on how much, and how fast."""
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")


def _spelt_scores(summary: "ScoreSummary | ScoreMergeSummary") -> str:
    """Return such as ``12 scores, 3 rows without``."""
    without = f", {summary.n_unscored:,} rows without" if summary.n_unscored else ""
    return f"{summary.n_variants - summary.n_unscored:,} scores{without}"


def _print_precision(found: "StructureSummary") -> None:
    """Print how many of the predicted contacts the structure has, by range and number of contacts."""
    rows: dict[str, list[str]] = {}
    for one in found.precision:
        cell = "-" if one.precision is None else f"{one.precision:.3f}"
        rows.setdefault(one.range, []).append(cell)
    header = ("precision", *dict.fromkeys(one.at for one in found.precision))
    print_table([(name, *cells) for name, cells in rows.items()], header=header)
    say(f"{found.protein} in {found.structure}: {found.n_shown:,} residues, {found.n_contacts:,} contacts")
