"""``biofm data prepare`` and ``biofm data describe``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option, Typer

from biofm.cli import options
from biofm.cli.options import Gaps, OnError
from biofm.cli.printing import print_json, print_result, print_table, say, say_notices

if TYPE_CHECKING:
    from biofm.api.data import PrepareSummary
    from biofm.corpus import Description, Leakage

Method = StrEnum("Method", ["none", "random", "identity", "cluster", "column", "group"])
Tool = StrEnum("Tool", ["auto", "mmseqs", "kmer"])

SPLIT_HELP = (
    "How sequences are held out: at random; by identity, at random and what is like them leaves the other "
    "parts; by cluster, whole clusters of relatives; as a column says; or whole groups of a column."
)
AMOUNT_HELP = "A share below 1, or a number, of the sequences or groups: for {}."
COLUMN_HELP = "Of tables: the column of parts (train, validation, test) or of groups."
GROUP_HELP = "A group for {}; repeat it for several."
WEIGHT_HELP = "Of an input in the mixture; repeat it, once for each input in their order. Else: by size."
SAMPLE_HELP = "Proteins of a held-out part for which relatives in another part are sought; 0 for none."
TOOL_HELP = "What finds relatives: MMseqs2, or our own k-mer search. auto: both, as far as they can."

app = Typer(no_args_is_help=True, help="Prepare data sets for training, and see what they are like.")


@app.command()
def prepare(
    inputs: Annotated[list[Path], Argument(help="Files of proteins: FASTA (also .gz), CSV, TSV, Parquet.")],
    output: Annotated[Path, Option("--output", "-o", help="The folder of the store.")],
    column: options.Column = None,
    id_column: options.IdColumn = None,
    weight: Annotated[list[float] | None, Option(help=WEIGHT_HELP)] = None,
    split: Annotated[Method, Option(help=SPLIT_HELP)] = Method.none,
    validation: Annotated[float, Option(help=AMOUNT_HELP.format("validation"))] = 0,
    test: Annotated[float, Option(help=AMOUNT_HELP.format("the test"))] = 0,
    split_column: Annotated[str, Option(help=COLUMN_HELP)] = "",
    validation_group: Annotated[list[str] | None, Option(help=GROUP_HELP.format("validation"))] = None,
    test_group: Annotated[list[str] | None, Option(help=GROUP_HELP.format("the test"))] = None,
    max_identity: Annotated[
        float, Option(help="By identity or cluster: above it two proteins are similar.")
    ] = 0.3,
    min_coverage: Annotated[
        float, Option(help="By identity or cluster: of the shorter one, in the alignment.")
    ] = 0.5,
    split_tool: Annotated[Tool, Option(help=TOOL_HELP)] = Tool.auto,
    seed: Annotated[int, Option(help="Of the split.")] = 0,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    resume: Annotated[bool, Option("--resume", help="Go on with what was interrupted in --output.")] = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the store in --output.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write proteins as a store of tokens, split and checksummed, which training maps into memory."""
    from biofm import api  # brings torch: not before a command runs

    summary = api.prepare(
        inputs, output, column=column, id_column=id_column, weights=weight, split=split.value,
        validation=validation, test=test, seed=seed, split_column=split_column,
        validation_groups=validation_group or (), test_groups=test_group or (), max_identity=max_identity,
        min_coverage=min_coverage, split_tool=split_tool.value, gaps=gaps.value, modality=modality,
        on_error=on_error.value, resume=resume, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)


@app.command()
def describe(
    inputs: Annotated[list[Path], Argument(help="A store, or files of proteins.")],
    column: options.Column = None,
    sample: Annotated[int, Option(help=SAMPLE_HELP)] = 100,
    seed: Annotated[int, Option(help="Of the sample.")] = 0,
    picture: Annotated[Path | None, Option(help="All of it as a figure: .png .svg .pdf")] = None,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print what a data set is like: lengths, letters, copies, and how much of what is held out is known."""
    from biofm import api  # brings torch: not before a command runs

    found = api.describe(
        inputs, column=column, n_sampled=sample, seed=seed, picture=picture, gaps=gaps.value,
        modality=modality, on_error=on_error.value, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(found.notices)
    if json:
        print_json(found)
    else:
        _print_description(found)
    if picture:
        say(f"-> {picture}")


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
            (f"in {a} and {b}", f"{it.n_sequences:,} sequences")
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
    others = f"{found.n_unknown:,} are none of" if found.n_unknown else "all are of"
    return f"{', '.join(commonest)}, ...; {others} {found.standard}"


def _spell_leakage(it: "Leakage") -> str:
    text = f"{it.n_copies:,} of {it.n_sequences:,} are copies"
    if it.n_sampled:
        searched = "" if it.n_searched == it.n_other else f" among {it.n_searched:,} of {it.n_other:,}"
        text += f"; {it.n_related:,} of {it.n_sampled:,} sampled have a relative there{searched}"
    return text


def _print_summary(summary: "PrepareSummary") -> None:
    total = sum(source.weight or source.n_sequences for source in summary.sources)
    rows = [
        (it.name, f"{it.n_sequences:,}", f"{it.n_units:,}",
         f"{(it.weight or it.n_sequences) / total:.1%}")
        for it in summary.sources
    ]  # fmt: skip
    print_table(rows, header=("input", "sequences", summary.units, "share of draws"))
    split = summary.split
    if split.method != "none":
        say(f"split by {split.method}: {_spell_counts(split.counts)}")
    if split.tool:
        say(f"relatives found by {split.tool}")
    say(f"{summary.n_sequences:,} sequences in {summary.seconds:.1f} s -> {summary.store}")


def _spell_counts(counts: dict[str, int]) -> str:
    parts = [f"{counts[part]:,} {part}" for part in ("train", "validation", "test")]
    if counts["removed"]:
        parts.append(f"{counts['removed']:,} left out because they resemble held-out ones")
    return ", ".join(parts)
