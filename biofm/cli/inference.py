"""Inference on the command line: what the commands that run a model, ``neighbours`` and ``merge`` print.

Each function ``show_...`` takes the verb as it was asked, its result, and whether to print that as JSON.
Results go to standard output, and everything about them goes to standard error.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm_datasets.text import format_count

from biofm.api import Contacts, Embed, Merge, Neighbours, Perplexity, Predict, RunProgram, Score
from biofm.cli.printing import (
    counted,
    place_of,
    print_json,
    print_table,
    refuse_two_outputs,
    say,
    say_notices,
    say_remarks,
    say_wrote,
    spelt_counts,
)

if TYPE_CHECKING:
    from biofm.api.run_program import ProgramSummary
    from biofm.inference import EmbedSummary, FoundNeighbours, MergeSummary
    from biofm.inference.prediction import PredictSummary
    from biofm.inference.runs import ContactsSummary, StructureSummary
    from biofm.inference.scoring import PerplexitySummary, ScoreMergeSummary, ScoreSummary


def show_embed(asked: Embed, summary: "EmbedSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    elif _was_whole(summary):
        say(f"{place_of(summary.output)} holds {_spelt_rows(summary)}, and was left as it is.")
    else:
        _say_run(summary)
        say_wrote(_spelt_rows(summary), summary.output)


def show_perplexity(asked: Perplexity, summary: "PerplexitySummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    _say_run(summary)
    if summary.perplexity is not None:
        made = summary.provenance
        say(f"The {made['method']} perplexity of all {made['units']} is {summary.perplexity:.2f}.")
    say_wrote(format_count(summary.n_sequences, "row"), summary.output)


def show_predict(asked: Predict, summary: "PredictSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    say_remarks(remark for remark in summary.remarks if remark.is_warning or not as_json)
    if as_json:
        print_json(summary)
    else:
        _say_run(summary)
        how = f"{summary.task} by {format_count(summary.n_members, 'model')}"
        say_wrote(f"the predictions of {', '.join(summary.targets)} ({how})", summary.output)


def show_contacts(asked: Contacts, summary: "ContactsSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        if summary.structure:
            _print_precision(summary.structure)
        _say_run(summary)
        say_wrote("the contacts", summary.output)
    if asked.picture:
        say_wrote("the picture", asked.picture)


def show_score(asked: Score, summary: "ScoreSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    if _was_whole(summary):
        say(f"{place_of(summary.output)} holds {_spelt_scores(summary)}, and was left as it is.")
        return
    provenance, speed = summary.provenance, summary.variants_per_second
    decimals = 0 if speed >= 10 else 2  # a long deletion takes seconds
    say(f"Computed in {provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}.")
    counts = f"{format_count(summary.n_variants, 'variant')}, {format_count(summary.n_tokens, 'token')}"
    say(f"{counts}, {speed:,.{decimals}f} variants/s")
    _say_wrote_scores(summary)
    if asked.picture:
        say_wrote("the picture", asked.picture)


def show_merge(asked: Merge, summary: "MergeSummary | ScoreMergeSummary", as_json: bool) -> None:
    from biofm.inference import MergeSummary  # brings numpy: not before a command runs

    say_notices(summary.notices)
    if as_json:
        print_json(summary)
        return
    shards = format_count(summary.n_shards, "shard")
    if isinstance(summary, MergeSummary):
        items = counted(summary.n_sequences, "items", summary.provenance)
        say(f"Joined {shards}: {items}, {format_count(summary.n_unique, 'different sequence')}.")
        say_wrote(_spelt_rows(summary), summary.output)
    else:
        say(f"Joined {shards}.")
        _say_wrote_scores(summary)
    say("The shards are left as they are; they are no longer needed.")


def show_neighbours(asked: Neighbours, found: "FoundNeighbours", as_json: bool) -> None:
    say_notices(found.notices)
    is_ranked = asked.top > 1
    names = (found.item, *(("rank",) if is_ranked else ()), "nearest", "cosine")
    rows = [
        (id_, *((rank,) if is_ranked else ()), other, cosine)
        for row, id_ in enumerate(found.ids)
        for rank, (other, cosine) in enumerate(found.of(row), start=1)
    ]
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        print_table([(*map(str, cells), f"{cosine:.3f}") for *cells, cosine in rows], header=names)
    if asked.picture:
        say_wrote("the picture", asked.picture)


def show_run_program(asked: RunProgram, summary: "ProgramSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        shape = " x ".join(map(str, summary.shape))
        say_wrote(f"an array of {shape} elements and its spacing", summary.output)


def check_output(asked: Merge | Perplexity | Predict | Score, as_json: bool) -> None:
    """Raise OptionError if the table and the result would both go to standard output."""
    refuse_two_outputs(Path(asked.output), as_json)


def _say_run(summary: "ContactsSummary | EmbedSummary | PerplexitySummary | PredictSummary") -> None:
    """Print in which precision, where, on how many records and how fast the model ran."""
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"Computed in {provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}.")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")


def _spelt_rows(summary: "EmbedSummary | MergeSummary") -> str:
    """Return the size of a table of embeddings, such as "3 rows of 320 numbers"."""
    return f"{format_count(summary.n_rows, 'row')} of {format_count(summary.n_dimensions, 'number')}"


def _was_whole(summary: "EmbedSummary | ScoreSummary") -> bool:
    """Return whether a repeated run found its output complete, so that it computed and wrote nothing."""
    from biofm.api.finished import ALREADY_WHOLE  # brings numpy: not before a command runs

    return ALREADY_WHOLE in summary.notices


def _say_wrote_scores(summary: "ScoreSummary | ScoreMergeSummary") -> None:
    say_wrote(_spelt_scores(summary), summary.output)


def _spelt_scores(summary: "ScoreSummary | ScoreMergeSummary") -> str:
    """Return how many scores there are, and how many rows have none."""
    scores = format_count(summary.n_variants - summary.n_unscored, "score")
    without = f" and {format_count(summary.n_unscored, 'row')} without a score" if summary.n_unscored else ""
    return f"{scores}{without}"


def _print_precision(found: "StructureSummary") -> None:
    """Print the share of predicted contacts that the structure has, by range and number of contacts."""
    rows: dict[str, list[str]] = {}
    for one in found.precision:
        cell = "-" if one.precision is None else f"{one.precision:.3f}"
        rows.setdefault(one.range, []).append(cell)
    header = ("precision", *dict.fromkeys(one.at for one in found.precision))
    print_table([(name, *cells) for name, cells in rows.items()], header=header)
    counts = f"{format_count(found.n_shown, 'residue')}, {format_count(found.n_contacts, 'contact')}"
    say(f"{found.protein} in {found.structure}: {counts}")
