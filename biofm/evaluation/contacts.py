"""Contacts: predicted contacts are compared with those of a structure (Rao et al. 2020, section 4).

Two residues are in contact if their C-betas (C-alpha of a glycine) are less than 8 Angstrom apart. Residues
that are close along the chain are in contact anyway, so precision counts pairs with a separation of at least
6.
"""

from dataclasses import dataclass

import numpy as np
from biofm_datasets.structures import Chain
from jaxtyping import Bool, Float, Int

from biofm.core.bounds import MIN_SEPARATION
from biofm.core.errors import InputError

CONTACT_ANGSTROM = 8.0
RANGES = {"long": 24, "medium and long": 12, "all": MIN_SEPARATION}
"""Ranges, with the least separation of their pairs along the chain, in residues."""
LENGTH_DIVISORS = {"L": 1, "L/2": 2, "L/5": 5}
"""Numbers of pairs for which precision is computed, by name: the number of residues that the structure shows,
divided by each of these.
"""
LEAST_IDENTITY = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureContacts:
    """Holds the contacts of a structure in the numbering of a protein that was aligned to it.

    Attributes:
        source: File and chain of the structure.
        identity: Identical residues, as a share of the shorter of the two sequences.
        places: Residues of the protein, from 0, ascending, that the structure shows with a C-beta.
        touch: Whether two of these residues are in contact; symmetric.
    """

    source: str
    identity: float
    places: Int[np.ndarray, " shown"]
    touch: Bool[np.ndarray, "shown shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPrecision:
    """Holds the precision of the most probable pairs of a range.

    Attributes:
        range: Name of the range of separations, a key of ``RANGES``.
        at: Number of pairs as a share of the length, a key of ``LENGTH_DIVISORS``.
        n_pairs: Number of pairs.
        precision: Share of the pairs that are contacts; None if the range has no pairs.
    """

    range: str
    at: str
    n_pairs: int
    precision: float | None


def contacts_of_chain(chain: Chain, protein: str, sequence: str) -> StructureContacts:
    """Find the residues of a protein in the chain of a structure. Some may be missing there or differ.

    Args:
        chain: Chain of the structure.
        protein: Name of the protein, for messages.
        sequence: Sequence of the protein.

    Raises:
        InputError: The sequences of chain and protein are too different.
    """
    from scipy.spatial.distance import cdist  # slow to import

    in_protein, in_chain = _align(sequence, chain.sequence)
    n_same = sum(sequence[i] == chain.sequence[j] for i, j in zip(in_protein, in_chain, strict=True))
    identity = n_same / min(len(sequence), len(chain.sequence))
    if identity < LEAST_IDENTITY:
        raise InputError(
            f"{n_same} of its {len(chain.sequence)} residues match the protein {protein} "
            f"({len(sequence)} residues): identity {identity:.0%}, at least {LEAST_IDENTITY:.0%} is needed",
            where=chain.where,
            remedy="Give a structure of this protein, or another --chain",
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
    """Compute the precision in every range at every share, among the pairs that the structure shows.

    Args:
        probabilities: Predicted probability of a contact for each pair of residues.
        truth: Contacts of the structure.
    """
    places = truth.places
    first, second = np.triu_indices(len(places), 1)
    order = np.argsort(-probabilities[places[first], places[second]], kind="stable")
    separation = (places[second] - places[first])[order]
    touch = truth.touch[first, second][order]
    found = []
    for name, least in RANGES.items():
        hits = touch[separation >= least]
        for at, divisor in LENGTH_DIVISORS.items():
            top = hits[: max(1, len(places) // divisor)]
            precision = float(top.mean()) if len(top) else None
            found.append(ContactPrecision(range=name, at=at, n_pairs=len(top), precision=precision))
    return found


def _align(sequence: str, shown: str) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Return the pairs of places in a global alignment. Gaps are free at the ends and cheap inside, because
    structures lack tails and loops.
    """
    from Bio.Align import PairwiseAligner  # slow to import

    aligner = PairwiseAligner(
        mode="global", match_score=2, mismatch_score=-2, open_gap_score=-5, extend_gap_score=-0.05
    )
    aligner.end_gap_score = 0.0
    pairs = aligner.align(sequence, shown)[0].indices
    aligned = (pairs >= 0).all(0)
    return pairs[0, aligned], pairs[1, aligned]
