"""What ``biofm contacts`` prints."""

from typing import TYPE_CHECKING

from biofm.api import Contacts
from biofm.cli.printing import print_json, print_table, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.inference.runs import ContactsSummary, StructureSummary


def show(asked: Contacts, summary: "ContactsSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)
    if asked.picture:
        say(f"picture -> {asked.picture}")


def _print_summary(summary: "ContactsSummary") -> None:
    if summary.structure:
        _print_precision(summary.structure)
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(f"contacts -> {summary.output}")


def _print_precision(found: "StructureSummary") -> None:
    rows: dict[str, list[str]] = {}
    for one in found.precision:
        cell = "-" if one.precision is None else f"{one.precision:.3f}"
        rows.setdefault(one.range, []).append(cell)
    header = ("precision", *dict.fromkeys(one.at for one in found.precision))
    print_table([(name, *cells) for name, cells in rows.items()], header=header)
    say(f"{found.protein} in {found.structure}: {found.n_shown:,} residues, {found.n_contacts:,} contacts")
