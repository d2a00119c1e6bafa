"""The group ``biofm data`` has the commands ``prepare`` and ``describe``; here is what they print."""

from typing import TYPE_CHECKING

from biofm_datasets.text import format_count
from typer import Typer

from biofm.api import Describe, Prepare
from biofm.cli.commands import Command, Group, command
from biofm.cli.printing import print_json, print_result, print_table, say, say_notices, say_wrote

if TYPE_CHECKING:
    from biofm.api.prepare import PrepareSummary
    from biofm.corpus import Description, Leakage


def show_prepare(asked: Prepare, summary: "PrepareSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _print_summary(summary)


def show_describe(asked: Describe, found: "Description", as_json: bool) -> None:
    say_notices(found.notices)
    if as_json:
        print_json(found)
    else:
        _print_description(found)
    if asked.picture:
        say_wrote("the picture", asked.picture)


app = Typer(cls=Group, no_args_is_help=True, help="Prepare data sets for training, and describe them.")
app.command(cls=Command)(command(Prepare, show_prepare))
app.command(cls=Command)(command(Describe, show_describe))


def _print_description(found: "Description") -> None:
    rows = [
        (it.name, f"{it.n_sequences:,}", f"{it.n_residues:,}", f"{it.n_sequences - it.n_distinct:,}",
         f"{it.n_elsewhere:,}")
        for it in found.sources
    ]  # fmt: skip
    print_table(rows, header=("input", "sequences", found.units, "copies in it", "also in another"))
    print_result("")
    facts = [
        (found.units, ", ".join(f"{name} {value:,.0f}" for name, value in found.quantiles.items())),
        ("letters", _spell_letters(found)),
        *(
            (f"in {a} and {b}", format_count(it.n_sequences, "sequence"))
            for it in found.shared
            for a, b in [it.sources]
        ),
    ]
    if found.split:
        facts.append((f"split by {found.split_method}", _spell_counts(found.split)))
    if found.split_tool:
        facts.append(("relatives found by", found.split_tool))
    facts += [(f"{it.part} in {it.place}", _spell_leakage(it)) for it in found.leakage]
    print_table(facts)


def _spell_letters(found: "Description") -> str:
    total = max(1, sum(found.letters.values()))
    commonest = [f"{letter} {count / total:.1%}" for letter, count in list(found.letters.items())[:5]]
    if not found.n_unknown:
        others = "all are of"
    else:
        others = f"{found.n_unknown:,} {'is' if found.n_unknown == 1 else 'are'} not among"
    return f"{', '.join(commonest)}, ...; {others} {found.standard}"


def _spell_leakage(it: "Leakage") -> str:
    text = f"{it.n_copies:,} of {it.n_sequences:,} {'is a copy' if it.n_copies == 1 else 'are copies'}"
    if it.n_sampled:
        searched = "" if it.n_searched == it.n_other else f" among {it.n_searched:,} of {it.n_other:,}"
        have = "has" if it.n_related == 1 else "have"
        text += f"; {it.n_related:,} of {it.n_sampled:,} sampled {have} a relative there{searched}"
    return text


def _print_summary(summary: "PrepareSummary") -> None:
    from biofm.api.finished import ALREADY_WHOLE  # brings numpy: not before a command runs

    total = sum(source.weight or source.n_sequences for source in summary.sources)
    rows = [
        (it.name, f"{it.n_sequences:,}", f"{it.n_units:,}",
         f"{(it.weight or it.n_sequences) / total:.1%}")
        for it in summary.sources
    ]  # fmt: skip
    print_table(rows, header=("input", "sequences", summary.units, "share of draws"))
    split = summary.split
    if split.method != "none":
        say(f"Split by {split.method}: {_spell_counts(split.counts)}.")
    if split.tool:
        say(f"Relatives were found by {split.tool}.")
    n_sequences = format_count(summary.n_sequences, "sequence")
    if ALREADY_WHOLE in summary.notices:
        say(f"{summary.store} holds {n_sequences}, and was left as it is.")
    else:
        say_wrote(f"{n_sequences} in {summary.seconds:.1f} s", summary.store)


def _spell_counts(counts: dict[str, int]) -> str:
    parts = [f"{counts[part]:,} {part}" for part in ("train", "validation", "test")]
    if counts["removed"]:
        parts.append(f"{counts['removed']:,} left out for resembling held-out ones")
    return ", ".join(parts)
