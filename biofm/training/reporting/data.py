"""The data of a run, described for its report: inputs, parts, lengths, composition, and a picture."""

import io

from biofm.corpus import Description, Leakage
from biofm.report import draw_dataset
from biofm.report.run import Pairs, Picture, Table

MOST_SOURCES = 40


def describe_data(found: Description, item: str) -> tuple[Table | Pairs, ...]:
    """Tables of the inputs, parts, lengths and composition, and of what held-out parts have in common with
    training. ``item``: what people call one of the sequences.
    """
    parts = [_sources(found), *_split(found, item)]
    lengths = {name: f"{value:,.0f}" for name, value in found.quantiles.items()}
    parts.append(Pairs(title=f"Lengths in {found.units}", values=lengths))
    n_letters = max(1, sum(found.letters.values()))
    shares = {letter: f"{100 * n / n_letters:.2f} %" for letter, n in found.letters.items()}
    others = f"{found.n_unknown:,} {found.units} are none of {found.standard}."
    note = others if found.n_unknown else ""
    return (*parts, Pairs(title="Composition", values=shares, note=note))


def picture_data(found: Description) -> Picture:
    """The same as one picture."""
    handle = io.BytesIO()
    draw_dataset(found, handle, ".png")
    size = f"{found.n_sequences:,} sequences of {found.n_residues:,} {found.units}"
    description = (
        f"How long the {size} are, which {found.units} they have, their parts, and copies among them."
    )
    return Picture(png=handle.getvalue(), caption="The data at one glance.", description=description)


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
        title = "What of the held-out parts is in another"
        parts.append(Table(title=title, header=header, rows=rows, note=_note(found.leakage, item)))
    return parts


def _note(leakage: tuple[Leakage, ...], item: str) -> str:
    if not any(it.n_sampled for it in leakage):
        return "Relatives were not searched for."
    searched = [f"{it.n_searched:,} of {it.n_other:,} {it.place}" for it in leakage if it.n_sampled]
    return (
        f"Related: at least half of the shorter {item} aligns with 30 % identity. "
        f"Searched among {', '.join(dict.fromkeys(searched))} sequences."
    )
