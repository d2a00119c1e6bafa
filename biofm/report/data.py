"""Data sets: a figure of their lengths, their composition, their split and the copies in them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.corpus import Description, Leakage
from biofm.report.figure import new_figure, printable, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCH, HEIGHT_INCH = 10.4, 6.8
INK, MUTED, RULE, TRACK = "#1d2428", "#66717a", "#e2e0da", "#efeeea"
LINES = ("#0f6f83", "#c2571a", "#6a5acd", "#3f7f2f", "#b03060")
ACCENT, WARM, VIOLET, GREY = "#0f6f83", "#c2571a", "#6a5acd", "#a9b0b4"
PART_COLOURS = {"train": ACCENT, "validation": VIOLET, "test": WARM, "removed": GREY}
MOST_LINES = len(LINES)  # more inputs share one line
MOST_ROWS = 5
FEWEST_TICKS, MOST_TICKS, MOST_EVEN_TICKS = 3, 10, 6
LONGEST_BARE = 0.15  # part of an axis, at its ends, that may be without a tick
MOST_LETTERS = 40  # a longer name is cut
MOST_BARS = 20  # of units without a known composition
MOST_SIGNS = 2  # of the name of a unit; a longer name is turned upright and cut to eight
LEAST_ROWS = 4.3  # of a panel, which leaves room below fewer rows
LINE = 0.36  # height of a line of text, in rows

# Percent in UniProtKB/Swiss-Prot (https://web.expasy.org/docs/relnotes/relstat.html, release 2024_01).
SWISS_PROT = {
    "A": 8.25, "R": 5.52, "N": 4.06, "D": 5.46, "C": 1.38, "Q": 3.93, "E": 6.71, "G": 7.07, "H": 2.27,
    "I": 5.90, "L": 9.64, "K": 5.79, "M": 2.41, "F": 3.86, "P": 4.74, "S": 6.65, "T": 5.36, "W": 1.10,
    "Y": 2.92, "V": 6.85,
}  # fmt: skip


class Reference(NamedTuple):
    """Holds a known composition to compare a data set with.

    ``shares`` are in percent, by the letter of the unit.
    """

    title: str
    units: str
    name: str
    shares: Mapping[str, float]


REFERENCES = {"the 20 amino acids": Reference("Composition", "amino acid", "Swiss-Prot", SWISS_PROT)}
"""Known compositions, by the name of the units that a description gives."""


class Row(NamedTuple):
    """Holds a row of a panel: a name at the left, a note at the right, and a bar of shares with their
    colours.
    """

    name: str
    note: str
    bar: Sequence[tuple[float, str]]


def draw_dataset(found: Description, handle: BinaryIO, suffix: str) -> None:
    """Draw four panels: the lengths of the sequences, their composition, the parts of the split (or the
    inputs), and the sequences that occur more than once.

    Args:
        found: Description of the data set.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
    """
    figure = new_figure(WIDTH_INCH, HEIGHT_INCH)
    figure.set_layout_engine("none")
    size = f"{format_count(found.n_sequences, 'sequence')}, {found.n_residues:,} {found.units}"
    figure.text(0.07, 0.955, _short(found.name, 70), fontsize=14, color=INK, weight="bold", parse_math=False)
    figure.text(0.07, 0.922, size, fontsize=9.5, color=MUTED)
    left, right = (0.07, 0.505), (0.66, 0.29)  # left edge and width
    upper, lower = (0.545, 0.275), (0.085, 0.285)
    panels = [
        figure.add_axes((x, y, width, height)) for y, height in (upper, lower) for x, width in (left, right)
    ]
    _draw_lengths(panels[0], found)
    _draw_split(panels[1], found)
    _draw_letters(panels[2], found)
    _draw_copies(panels[3], found)
    write_figure(figure, handle, suffix)


def _draw_lengths(axes: "Axes", found: Description) -> None:
    """Draw a histogram for each input, in percent of its sequences, so that a small input shows beside a
    large one.
    """
    median = found.quantiles["median"]
    _set_up(axes, "Lengths", f"median {median:,.0f} {found.units} (dashed line)")
    edges = np.array(found.sources[0].lengths.edges)
    series = [(_short(it.name), np.array(it.lengths.counts)) for it in found.sources]
    if len(series) > MOST_LINES:
        series = [("all inputs", np.sum([counts for _, counts in series], axis=0))]
    for number, (colour, (_, counts)) in enumerate(zip(LINES, series, strict=False)):
        shares = 100 * counts / max(1, counts.sum())
        _draw_bars(axes, shares, edges, colour, str(number), is_alone=len(series) == 1)
    axes.axvline(median, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.set_ylim(0, (1.1 + 0.09 * len(series)) * axes.get_ylim()[1])  # room for the legend
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= min(100, axes.get_ylim()[1])])
    ticks = choose_ticks(edges[0], edges[-1])
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    _name_axes(axes, f"length ({found.units}, logarithmic scale)", "% of sequences")
    if len(series) > 1:
        _add_legend(axes, [name for name, _ in series])


def _draw_bars(
    axes: "Axes",
    shares: NDArray[np.float64],
    edges: NDArray[np.float64],
    colour: str,
    label: str,
    *,
    is_alone: bool,
) -> None:
    """Draw a bar for each bin that is not empty, apart from its neighbours, so that two are seen as two."""
    from matplotlib.colors import to_rgba  # takes 0.5 s to import

    full = shares > 0
    axes.bar(
        edges[:-1][full],
        shares[full],
        np.diff(edges)[full],
        align="edge",
        color=to_rgba(colour, 0.9 if is_alone else 0.15),
        edgecolor="white" if is_alone else colour,
        linewidth=1.2,
        label=label,
    )


def choose_ticks(low: float, high: float) -> list[int]:
    """Choose whole numbers for the ticks of a logarithmic axis: round ones, evenly spaced on a short axis.

    An end of the axis that is far from all of these has a tick too.
    """
    ticks = _round_ticks(low, high)
    apart = (high / low) ** LONGEST_BARE
    first = [math.ceil(low)] if not ticks or ticks[0] > low * apart else []
    last = [math.floor(high)] if not ticks or ticks[-1] * apart < high else []
    return sorted({*first, *ticks, *last})


def _round_ticks(low: float, high: float) -> list[int]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10**power for power in powers for step in steps if low <= step * 10**power <= high]
        if len(ticks) <= MOST_TICKS:
            break
    if len(ticks) >= FEWEST_TICKS:
        return ticks
    for step in (number * 10**power for power in range(len(str(int(high)))) for number in (1, 2, 5)):
        ticks = [*range(-(-math.ceil(low) // step) * step, math.floor(high) + 1, step)]
        if len(ticks) <= MOST_EVEN_TICKS:
            break
    return ticks


def _draw_letters(axes: "Axes", found: Description) -> None:
    """Draw the shares of the units beside a known composition, or those of the commonest units alone."""
    reference = REFERENCES.get(found.standard)
    if reference is None:
        _draw_commonest(axes, found)
        return
    others = [letter for letter in found.letters if letter not in reference.shares]
    spelt = ", ".join(others[:6]) + ", ..." * (len(others) > 6)
    rest = f"{format_count(found.n_unknown, 'other letter')}{f' ({spelt})' * bool(others)}"
    if not found.n_unknown:
        rest = "no other letters"
    _set_up(axes, reference.title, rest)
    letters = sorted(reference.shares, key=lambda letter: -found.letters.get(letter, 0))
    places = _draw_shares(axes, found, letters)
    axes.set_xticks(places, letters)
    _name_axes(axes, reference.units, f"% of {found.units}")
    known = [reference.shares[letter] for letter in letters]
    axes.hlines(known, places - 0.44, places + 0.44, color=WARM, linewidth=1.8, label=reference.name)
    _add_legend(axes)


def _draw_commonest(axes: "Axes", found: Description) -> None:
    """Draw the shares of as many units as fit, the commonest first."""
    shown = list(found.letters)[:MOST_BARS]
    cut = f"the {len(shown)} commonest of {len(found.letters):,} kinds; " * (len(shown) < len(found.letters))
    rest = f"{found.n_unknown:,} {'is' if found.n_unknown == 1 else 'are'} none of {found.standard}"
    _set_up(axes, "Composition", f"{cut}{rest}")
    places = _draw_shares(axes, found, shown)
    is_long = max(map(len, shown), default=0) > MOST_SIGNS
    names = [_short(name, 8) for name in shown]
    axes.set_xticks(places, names, rotation=90 if is_long else 0, parse_math=False)
    _name_axes(axes, "", f"% of {found.units}")


def _draw_shares(axes: "Axes", found: Description, letters: Sequence[str]) -> NDArray[np.int64]:
    """Draw a bar for each letter, and return the places of the bars."""
    total = max(1, sum(found.letters.values()))
    places = np.arange(len(letters))
    shares = [100 * found.letters.get(letter, 0) / total for letter in letters]
    axes.bar(places, shares, width=0.7, color=ACCENT, alpha=0.9, label="this data set")
    axes.set_xlim(-0.7, len(letters) - 0.3)
    return places


def _draw_split(axes: "Axes", found: Description) -> None:
    """Draw the parts of the split and name what leaks between them; without a split, draw the inputs."""
    if not found.split:
        _set_up(axes, "Inputs", "sequences in each input")
        rows = {it.name: (it.n_sequences, ACCENT) for it in found.sources}
    else:
        _set_up(axes, f"Split: {found.split_method}", "sequences in each part")
        rows = {part: (n, PART_COLOURS[part]) for part, n in found.split.items() if n}
    total = found.n_sequences
    _draw_rows(
        axes,
        [Row(name, f"{n:,} ({n / total:.1%})", [(n / total, colour)]) for name, (n, colour) in rows.items()],
        [line for it in found.leakage for line in _leaks(it)],
    )


def _draw_copies(axes: "Axes", found: Description) -> None:
    """Draw for each input how many of its sequences occur once, more than once, or in another input too."""
    n_copies = found.n_sequences - found.n_distinct
    repeated = format_count(n_copies, "sequence repeats another", "sequences repeat another")
    share = f"{repeated} ({n_copies / found.n_sequences:.1%})"
    _set_up(axes, "Copies", share if n_copies else "no sequence occurs twice")
    rows = []
    for it in found.sources:
        n_repeated = it.n_sequences - it.n_distinct
        bar = [
            ((it.n_distinct - it.n_elsewhere) / it.n_sequences, ACCENT),
            (it.n_elsewhere / it.n_sequences, VIOLET),
            (n_repeated / it.n_sequences, WARM),
        ]
        rows.append(Row(it.name, f"{n_repeated:,} repeated", bar))
    _draw_rows(axes, rows, [])
    for colour, name in ((ACCENT, "once"), (WARM, "repeated"), (VIOLET, "in another input too")):
        if name in ("once", "repeated") or len(rows) > 1:
            axes.bar(0, 0, color=colour, label=name)
    axes.legend(
        frameon=False, fontsize=8, labelcolor=MUTED, ncols=3, loc="upper left", borderpad=0, borderaxespad=0,
        bbox_to_anchor=(0, min(len(rows), MOST_ROWS) + 0.1 + 1.5 * LINE * (len(rows) > MOST_ROWS)),
        bbox_transform=axes.transData, handlelength=0.9, handleheight=0.9, columnspacing=1.2,
    )  # fmt: skip


def _leaks(it: Leakage) -> list[str]:
    """Return sentences about the copies and relatives of a held-out part in another part."""
    copies = "is a copy of a {} sequence" if it.n_copies == 1 else "are copies of {} sequences"
    lines = [f"{it.n_copies:,} of {it.n_sequences:,} in {it.part} {copies.format(it.place)}"]
    if it.n_sampled:
        have = "has" if it.n_related == 1 else "have"
        lines.append(
            f"{it.n_related:,} of {it.n_sampled:,} sampled from {it.part} {have} a relative in {it.place}"
        )
    return lines


def _draw_rows(axes: "Axes", rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Draw rows from the top down, and below them lines of text."""
    shown = rows[:MOST_ROWS]
    if len(rows) > MOST_ROWS:
        lines = [*lines, f"and {len(rows) - MOST_ROWS} more"]
    for place, row in enumerate(shown):
        axes.text(0, place + 0.36, _short(row.name), fontsize=8.5, color=INK, parse_math=False)
        axes.text(1, place + 0.36, row.note, fontsize=8.5, color=INK, ha="right", parse_math=False)
        axes.barh(place + 0.58, 1, height=0.2, color=TRACK)
        left = 0.0
        for share, colour in row.bar:
            axes.barh(place + 0.58, share, left=left, height=0.2, color=colour)
            left += share
    bottom = len(shown) + LINE
    for number, line in enumerate(lines):
        axes.text(0, bottom + LINE * number, line, fontsize=8, color=MUTED, parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(max(LEAST_ROWS, bottom + LINE * (len(lines) - 1)), 0)
    axes.set_axis_off()


def _set_up(axes: "Axes", title: str, note: str) -> None:
    """Write the heading of a panel and its axis labels, and style its axes."""
    axes.text(
        0, 1.13, title, transform=axes.transAxes, fontsize=10.5, color=INK, weight="bold", parse_math=False
    )
    axes.text(0, 1.05, note, transform=axes.transAxes, fontsize=8.5, color=MUTED, parse_math=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.tick_params(which="both", labelsize=8, length=2, color=GREY, labelcolor=INK)
    axes.tick_params(axis="y", length=0, labelcolor=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)


def _name_axes(axes: "Axes", across: str, upwards: str) -> None:
    """Write the labels of the axes."""
    axes.set_xlabel(across, fontsize=8.5, color=INK, parse_math=False)
    axes.set_ylabel(upwards, fontsize=8.5, color=INK, parse_math=False)


def _add_legend(axes: "Axes", names: Sequence[str] = ()) -> None:
    """Add a legend; ``names``, which come from a user, take the place of its labels."""
    legend = axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right", handlelength=1.4)
    for text, name in zip(legend.get_texts(), names, strict=bool(names)):
        text.set_parse_math(False)
        text.set_text(name)  # set afterwards: matplotlib leaves out names that begin with _


def _short(name: str, most: int = MOST_LETTERS) -> str:
    """Cut a long name in its middle."""
    name = printable(name)
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 + 1 :]}"
