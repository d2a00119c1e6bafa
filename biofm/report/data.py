"""A figure of a data set: its lengths, its letters, what is held out, and copies."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
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
MOST_LINES = len(LINES)  # more inputs are shown together
MOST_ROWS = 5
MOST_LETTERS = 40  # of a name
MOST_BARS = 20  # of units whose shares are compared with nothing
MOST_SIGNS = 2  # of a unit that is spelled beside others; a longer one is spelled upwards, cut to eight
LEAST_ROWS = 4.3  # of a panel: fewer leave it empty below
LINE = 0.36  # of a row

# Percent in UniProtKB/Swiss-Prot (https://web.expasy.org/docs/relnotes/relstat.html, release 2024_01).
SWISS_PROT = {
    "A": 8.25, "R": 5.52, "N": 4.06, "D": 5.46, "C": 1.38, "Q": 3.93, "E": 6.71, "G": 7.07, "H": 2.27,
    "I": 5.90, "L": 9.64, "K": 5.79, "M": 2.41, "F": 3.86, "P": 4.74, "S": 6.65, "T": 5.36, "W": 1.10,
    "Y": 2.92, "V": 6.85,
}  # fmt: skip


class Reference(NamedTuple):
    """Shares in percent that those of a data set are compared with."""

    title: str
    name: str
    shares: Mapping[str, float]


REFERENCES = {"the 20 amino acids": Reference("Amino acids", "in Swiss-Prot", SWISS_PROT)}
"""The references, by the name that a description gives to the units that models are judged on."""


class Row(NamedTuple):
    """A name, what stands at its right, and a bar of shares with their colours."""

    name: str
    note: str
    bar: Sequence[tuple[float, str]]


def draw_dataset(found: Description, handle: BinaryIO, suffix: str) -> None:
    """Four panels: how long the sequences are, which units they have, the parts of the split (or the
    inputs), and how many sequences are copies.
    """
    figure = new_figure(WIDTH_INCH, HEIGHT_INCH)
    figure.set_layout_engine("none")
    size = f"{found.n_sequences:,} sequences, {found.n_residues:,} {found.units}"
    figure.text(0.055, 0.955, _short(found.name, 70), fontsize=14, color=INK, weight="bold", parse_math=False)
    figure.text(0.055, 0.922, size, fontsize=9.5, color=MUTED)
    left, right = (0.055, 0.52), (0.66, 0.29)  # from where, and how wide
    upper, lower = (0.535, 0.285), (0.075, 0.295)
    panels = [
        figure.add_axes((x, y, width, height)) for y, height in (upper, lower) for x, width in (left, right)
    ]
    _draw_lengths(panels[0], found)
    _draw_split(panels[1], found)
    _draw_letters(panels[2], found)
    _draw_copies(panels[3], found)
    write_figure(figure, handle, suffix)


def _draw_lengths(axes: "Axes", found: Description) -> None:
    """Shares of each input, so that a small one shows beside a large one."""
    from matplotlib.ticker import LogLocator  # heavy: this module is imported with every command

    median = found.quantiles["median"]
    _set_up(axes, "Lengths", f"{found.units} in a sequence, % of sequences; median {median:,.0f}")
    edges = np.array(found.sources[0].lengths.edges)
    series = [(_short(it.name), np.array(it.lengths.counts)) for it in found.sources]
    if len(series) > MOST_LINES:
        series = [("all inputs", np.sum([counts for _, counts in series], axis=0))]
    for colour, (name, counts) in zip(LINES, series, strict=False):
        shares = 100 * counts / max(1, counts.sum())
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.8 if len(series) == 1 else 0.15)
        axes.stairs(shares, edges, color=colour, linewidth=1.4, label=name)
    axes.axvline(median, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    axes.set_ylim(0, (1.1 + 0.09 * len(series)) * axes.get_ylim()[1])  # room for the legend
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:,.0f}")
    if len(series) > 1:
        _add_legend(axes)


def _draw_letters(axes: "Axes", found: Description) -> None:
    """The shares of the units beside those of a reference, or of the commonest ones alone."""
    reference = REFERENCES.get(found.standard)
    if reference is None:
        _draw_commonest(axes, found)
        return
    others = [letter for letter in found.letters if letter not in reference.shares]
    spelt = ", ".join(others[:6]) + ", ..." * (len(others) > 6)
    rest = f"{found.n_unknown:,} other letters{f' ({spelt})' * bool(others)}"
    _set_up(axes, reference.title, f"% of {found.units}; {rest}")
    letters = sorted(reference.shares, key=lambda letter: -found.letters.get(letter, 0))
    places = _draw_shares(axes, found, letters)
    axes.set_xticks(places, letters)
    known = [reference.shares[letter] for letter in letters]
    axes.hlines(known, places - 0.44, places + 0.44, color=WARM, linewidth=1.8, label=reference.name)
    _add_legend(axes)


def _draw_commonest(axes: "Axes", found: Description) -> None:
    """So many as have room; of how many kinds they are the commonest is said."""
    shown = list(found.letters)[:MOST_BARS]
    cut = f" the {len(shown)} commonest of {len(found.letters):,} kinds;" * (len(shown) < len(found.letters))
    rest = f"{found.n_unknown:,} are none of {found.standard}"
    _set_up(axes, "Composition", f"% of {found.units};{cut} {rest}")
    places = _draw_shares(axes, found, shown)
    is_long = max(map(len, shown), default=0) > MOST_SIGNS
    names = [_short(name, 8) for name in shown]
    axes.set_xticks(places, names, rotation=90 if is_long else 0, parse_math=False)


def _draw_shares(axes: "Axes", found: Description, letters: Sequence[str]) -> NDArray[np.int64]:
    """Bars, and where they stand."""
    total = max(1, sum(found.letters.values()))
    places = np.arange(len(letters))
    shares = [100 * found.letters.get(letter, 0) / total for letter in letters]
    axes.bar(places, shares, width=0.7, color=ACCENT, alpha=0.9, label="here")
    axes.set_xlim(-0.7, len(letters) - 0.3)
    return places


def _draw_split(axes: "Axes", found: Description) -> None:
    """The parts, and what of them is in another; without a split, the inputs."""
    if not found.split:
        _set_up(axes, "Inputs", "sequences of each")
        rows = {it.name: (it.n_sequences, ACCENT) for it in found.sources}
    else:
        _set_up(axes, f"Split: {found.split_method}", "sequences of each part")
        rows = {part: (n, PART_COLOURS[part]) for part, n in found.split.items() if n}
    total = found.n_sequences
    _draw_rows(
        axes,
        [Row(name, f"{n:,} ({n / total:.1%})", [(n / total, colour)]) for name, (n, colour) in rows.items()],
        [line for it in found.leakage for line in _leaks(it)],
    )


def _draw_copies(axes: "Axes", found: Description) -> None:
    n_copies = found.n_sequences - found.n_distinct
    share = f"{n_copies:,} sequences repeat another ({n_copies / found.n_sequences:.1%})"
    _set_up(axes, "Copies", share if n_copies else "no sequence is there twice")
    rows = []
    for it in found.sources:
        n_repeated = it.n_sequences - it.n_distinct
        bar = [
            ((it.n_distinct - it.n_elsewhere) / it.n_sequences, ACCENT),
            (it.n_elsewhere / it.n_sequences, VIOLET),
            (n_repeated / it.n_sequences, WARM),
        ]
        rows.append(Row(it.name, f"{n_repeated:,}", bar))
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
    lines = [f"{it.n_copies:,} of {it.n_sequences:,} in {it.part} are copies of {it.place} sequences"]
    if it.n_sampled:
        lines.append(f"{it.n_related:,} of {it.n_sampled:,} sampled there have a relative in {it.place}")
    return lines


def _draw_rows(axes: "Axes", rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Rows from the top down, then lines of text."""
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


def _add_legend(axes: "Axes") -> None:
    axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right", handlelength=1.4)


def _short(name: str, most: int = MOST_LETTERS) -> str:
    name = printable(name)
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 + 1 :]}"
