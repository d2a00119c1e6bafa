"""What a run was trained and judged on, in figures."""

from collections.abc import Mapping, Sequence

import numpy as np
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray

from biofm.report.run import Pairs, Table

Members = NDArray[np.int64]

MOST_COUNTED = 100_000  # sequences, spread evenly, which tell the composition well enough
QUANTILES = (0, 0.05, 0.5, 0.95, 1)
NAMES_OF_QUANTILES = ("shortest", "5 %", "median", "95 %", "longest")


def describe_data(
    store: TokenStore, parts: Mapping[str, Members], vocabulary: Sequence[str], n_special: int
) -> tuple[Table | Pairs, ...]:
    """How many sequences each part has and how long they are, and of what the first part is made.

    ``n_special``: tokens around each sequence, which count for no length. Tokens in angle brackets are none
    of the alphabet.
    """
    return (
        _describe_lengths(store, parts, n_special),
        *(_describe_composition(store, name, members, vocabulary) for name, members in [*parts.items()][:1]),
    )


def _describe_lengths(store: TokenStore, parts: Mapping[str, Members], n_special: int) -> Table:
    rows: list[tuple[str | int | float | None, ...]] = []
    for name, members in parts.items():
        lengths = store.lengths(members) - n_special
        found = np.quantile(lengths, QUANTILES).tolist() if len(lengths) else [None] * len(QUANTILES)
        quantiles = (None if value is None else round(value) for value in found)
        rows.append((name, len(members), int(lengths.sum()), *quantiles))
    header = ("part", "sequences", "residues", *NAMES_OF_QUANTILES)
    return Table(title="Parts and lengths", header=header, rows=rows, note="Lengths in residues.")


def _describe_composition(store: TokenStore, name: str, members: Members, vocabulary: Sequence[str]) -> Pairs:
    counts = np.zeros(len(vocabulary), np.int64)
    n_chosen = min(len(members), MOST_COUNTED)
    chosen = members[np.linspace(0, len(members) - 1, n_chosen).astype(np.int64)]
    for i in np.sort(chosen):  # in the order of the disk
        counts += np.bincount(store[i], minlength=len(vocabulary))
    letters = {token: counts[i] for i, token in enumerate(vocabulary) if not token.startswith("<")}
    n_letters = max(1, sum(letters.values()))
    found = sorted(((n, token) for token, n in letters.items() if n), reverse=True)
    note = f"Shares of the residues of {len(chosen):,} sequences of {len(members):,} in {name}."
    return Pairs(
        title="Composition", values={token: f"{100 * n / n_letters:.2f} %" for n, token in found}, note=note
    )
