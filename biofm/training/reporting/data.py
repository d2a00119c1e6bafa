"""Data in the report of a run: tables and a picture show its inputs, parts, lengths and composition."""

import io

from biofm_datasets.text import format_count

from biofm.corpus import Description, Leakage
from biofm.report import draw_dataset
from biofm.report.run import Pairs, Picture, Table

MOST_SOURCES = 40


def describe_data(found: Description, item: str) -> tuple[Table | Pairs, ...]:
    """Make the tables of the inputs, parts, lengths, composition and leakage between the parts.

    Args:
        found: The description of the data.
        item: The word for one sequence, such as "protein".
    """
    parts = [_sources(found), *_split(found, item)]
    lengths = {name: f"{value:,.0f}" for name, value in found.quantiles.items()}
    parts.append(Pairs(title=f"Lengths in {found.units}", values=lengths))
    n_letters = max(1, sum(found.letters.values()))
    shares = {letter: f"{100 * n / n_letters:.2f} %" for letter, n in found.letters.items()}
    others = f"Other {found.units} than {found.standard}: {found.n_unknown:,}."
    note = others if found.n_unknown else ""
    return (*parts, Pairs(title="Composition", values=shares, note=note))


def picture_data(found: Description) -> Picture:
    """Draw the lengths, the composition, the parts and the copies as one picture.

    Args:
        found: The description of the data.
    """
    handle = io.BytesIO()
    draw_dataset(found, handle, ".png")
    size = f"{format_count(found.n_sequences, 'sequence')} with {found.n_residues:,} {found.units}"
    description = f"Lengths, composition, parts and copies of the {size}."
    return Picture(png=handle.getvalue(), caption="Overview of the data.", description=description)


def _sources(found: Description) -> Table:
    header = ("input", "sequences", found.units, "copies in it", "also in another")
    rows = [
        (it.name, it.n_sequences, it.n_residues, it.n_sequences - it.n_distinct, it.n_elsewhere)
        for it in found.sources[:MOST_SOURCES]
    ]
    n = len(found.sources)
    note = f"The first {MOST_SOURCES} of {n:,}." if n > MOST_SOURCES else ""
    return Table(title="Inputs", header=header, rows=rows, note=note)


def _split(found: Description, item: str) -> list[Table | Pairs]:
    if not found.split:
        return []
    tool = f" ({found.split_tool})" if found.split_tool else ""
    parts: list[Table | Pairs] = [
        Pairs(title="Parts", values=found.split, note=f"Split by {found.split_method}{tool}.")
    ]
    if found.leakage:
        header = ("part", "sequences", "in part", "copies there", "sampled", "with a relative there")
        rows = [
            (it.part, it.n_sequences, it.place, it.n_copies, it.n_sampled, it.n_related)
            for it in found.leakage
        ]
        title = "Copies and relatives of held-out sequences in other parts"
        parts.append(Table(title=title, header=header, rows=rows, note=_note(found.leakage, item)))
    return parts


def _note(leakage: tuple[Leakage, ...], item: str) -> str:
    if not any(it.n_sampled for it in leakage):
        return "Relatives were not searched for."
    searched = [f"{it.n_searched:,} of {it.n_other:,} {it.place}" for it in leakage if it.n_sampled]
    return (
        f"Two sequences are relatives if at least half of the shorter {item} aligns with 30 % identity. "
        f"Relatives were searched among {', '.join(dict.fromkeys(searched))} sequences."
    )
