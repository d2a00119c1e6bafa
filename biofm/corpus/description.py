"""What is said of a data set."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """``counts[i]`` values lie between ``edges[i]`` and ``edges[i + 1]``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """One input. ``n_distinct`` sequences differ from each other; ``n_elsewhere`` of these are in another
    input too. ``lengths``: residues, on edges that all inputs share.
    """

    name: str
    n_sequences: int
    n_residues: int
    n_distinct: int
    n_elsewhere: int
    lengths: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """How many distinct sequences two inputs have in common."""

    sources: tuple[str, str]
    n_sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """What of a held-out ``part`` is in an ``other`` one. ``n_copies`` of its ``n_sequences`` are there
    letter by letter; ``n_related`` of ``n_sampled`` have a relative there, which means an alignment over at
    least half of the shorter protein with at least 30 % of its columns identical; they were compared with
    ``n_searched`` of the ``n_other`` sequences there.
    """

    part: str
    other: str
    n_sequences: int
    n_copies: int
    n_sampled: int
    n_related: int
    n_searched: int
    n_other: int

    @property
    def place(self) -> str:
        """The other part in words."""
        return "training" if self.other == "train" else self.other


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A data set in numbers.

    quantiles: of the lengths in residues, by their names ("median", "95 %").
    units: what its sequences are made of, such as residues; ``standard``: the kinds of them that models are
        judged on, such as "the 20 amino acids".
    letters: how often each token occurs that stands for a unit, the commonest first.
    n_unknown: units that are none of the standard ones.
    n_distinct: sequences that differ from each other, in all inputs together.
    split: the method, and the number of sequences in each part; empty where there is none.
    """

    name: str
    n_sequences: int
    n_residues: int
    n_distinct: int
    sources: tuple[SourceDescription, ...]
    quantiles: dict[str, float]
    letters: dict[str, int]
    n_unknown: int
    units: str
    standard: str
    shared: tuple[Shared, ...]
    split_method: str = ""
    split_tool: str = ""
    split: dict[str, int] = field(default_factory=dict)
    leakage: tuple[Leakage, ...] = ()
    notices: dict[str, int] = field(default_factory=dict)
