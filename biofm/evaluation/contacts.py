"""Predicted contacts against those of a structure (Rao et al. 2020, section 4).

Two residues touch where their C-betas (C-alpha of a glycine) lie less than 8 Angstrom apart. What is near
along the chain touches anyway, so precision counts pairs from a separation of 6 on.
"""

from dataclasses import dataclass

import numpy as np
from biofm_datasets.structures import Chain
from jaxtyping import Bool, Float, Int

from biofm.core.bounds import MIN_SEPARATION
from biofm.core.errors import InputError

CONTACT_ANGSTROM = 8.0
RANGES = {"long": 24, "medium and long": 12, "all": MIN_SEPARATION}
"""The least separation of the pairs of each range, in residues along the chain."""
SHARES = {"L": 1, "L/2": 2, "L/5": 5}
"""How many of the likeliest pairs are judged: the residues that the structure shows, divided by this."""
LEAST_IDENTITY = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureContacts:
    """A structure's contacts in the numbering of a protein that was aligned to it.

    places: residues of the protein, from 0, ascending, that the structure shows with a C-beta.
    touch: whether two of them touch; symmetric.
    identity: identical residues, as a share of the shorter of the two sequences.
    """

    source: str
    identity: float
    places: Int[np.ndarray, " shown"]
    touch: Bool[np.ndarray, "shown shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPrecision:
    """The share of contacts among the ``n_pairs`` likeliest pairs of a range; None where it has no pairs."""

    range: str
    at: str
    n_pairs: int
    precision: float | None


def contacts_of_chain(chain: Chain, protein: str, sequence: str) -> StructureContacts:
    """Find the residues of a protein in a chain, of which some may be missing or differ.

    ``protein`` names it in messages. Raises InputError where chain and protein are too unlike.
    """
    from scipy.spatial.distance import cdist  # slow to import, needed here alone

    in_protein, in_chain = _align(sequence, chain.sequence)
    n_same = sum(sequence[i] == chain.sequence[j] for i, j in zip(in_protein, in_chain, strict=True))
    identity = n_same / min(len(sequence), len(chain.sequence))
    if identity < LEAST_IDENTITY:
        raise InputError(
            f"{n_same} of its {len(chain.sequence)} residues are those of the protein {protein} "
            f"({len(sequence)} residues): identity {identity:.0%}, at least {LEAST_IDENTITY:.0%} is needed",
            where=chain.where,
            remedy="Give the structure of this very protein, or another --chain",
        )
    shown = np.isfinite(chain.positions[in_chain]).all(1)
    positions = chain.positions[in_chain[shown]]
    return StructureContacts(
        source=chain.where,
        identity=identity,
        places=in_protein[shown],
        touch=cdist(positions, positions) < CONTACT_ANGSTROM,
    )


def contact_precision(
    probabilities: Float[np.ndarray, "residues residues"], truth: StructureContacts
) -> list[ContactPrecision]:
    """Precision in every range at every share, among pairs that the structure shows."""
    places = truth.places
    first, second = np.triu_indices(len(places), 1)
    order = np.argsort(-probabilities[places[first], places[second]], kind="stable")
    separation = (places[second] - places[first])[order]
    touch = truth.touch[first, second][order]
    found = []
    for name, least in RANGES.items():
        hits = touch[separation >= least]
        for at, divisor in SHARES.items():
            top = hits[: max(1, len(places) // divisor)]
            precision = float(top.mean()) if len(top) else None
            found.append(ContactPrecision(range=name, at=at, n_pairs=len(top), precision=precision))
    return found


def _align(sequence: str, shown: str) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pairs of places in a global alignment. Missing residues cost nothing at the ends and little between,
    because structures lack tails and loops.
    """
    from Bio.Align import PairwiseAligner  # slow to import, needed here alone

    aligner = PairwiseAligner(
        mode="global", match_score=2, mismatch_score=-2, open_gap_score=-5, extend_gap_score=-0.05
    )
    aligner.end_gap_score = 0.0
    pairs = aligner.align(sequence, shown)[0].indices
    aligned = (pairs >= 0).all(0)
    return pairs[0, aligned], pairs[1, aligned]
