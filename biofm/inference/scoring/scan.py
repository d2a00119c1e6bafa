"""Scan: make every substitution of a protein, as rows to score and as a matrix of their scores."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from biofm_datasets import Change, Record
from numpy.typing import NDArray

from biofm.core.errors import InputError
from biofm.inference.runs import Intake
from biofm.inference.scoring.cases import ROWS_PER_PART, Cases, check_unmasked
from biofm.inference.scoring.methods import Variant

STANDARD = "ACDEFGHIKLMNPQRSTVWY"
N_OTHERS = len(STANDARD) - 1
NOT_SCANNED = "residues not scanned, because they are none of the 20 standard ones"


class _Substitution(NamedTuple):
    protein: str
    record: int
    position: int
    wild_residue: str
    mutant_residue: str
    variant: str
    scored: Variant


def cases_of_scan(intake: Intake, offset: int, notices: Counter[str]) -> Iterator[Cases]:
    """Yield all 19 substitutions at every standard residue, protein by protein, by position and letter.

    Positions are counted from 1 + ``offset``. The column ``record`` is the protein's number in the input,
    from 1: it tells proteins with the same id apart. Raise InputError for a masked residue, and if there is
    nothing to substitute.
    """
    rows = (row for record in intake for row in _substitutions(record, offset, notices))
    n_rows = 0
    share: float | None = 0.0
    while part := list(islice(rows, ROWS_PER_PART)):
        n_rows += len(part)
        columns = {name: [getattr(row, name) for row in part] for name in _Substitution._fields[:-1]}
        before, share = share, intake.share_of(n_rows // N_OTHERS)
        yield Cases(columns, [row.scored for row in part], partial(_where, part), before, share)
    if not n_rows:
        what = "the input has no standard residue to substitute"
        raise InputError(what, remedy="Give a protein sequence")


def _where(part: Sequence[_Substitution], index: int) -> str:
    return f"{part[index].protein}, {part[index].variant}"


def scan_matrix(sequence: str, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of a protein's scan as a matrix, with a row for each residue.

    The columns are in the order of ``STANDARD``. The wild type has 0, and residues that were not scanned have
    NaN.

    Args:
        sequence: The sequence of the protein.
        scores: The scores in the order of the scan's rows.
    """
    matrix = np.full((len(sequence), len(STANDARD)), np.nan, np.float32)
    is_wild = np.array(list(sequence))[:, None] == np.array(list(STANDARD))  # (residues, 20)
    matrix[is_wild.any(1)[:, None] & ~is_wild] = scores
    matrix[is_wild] = 0
    return matrix


def _substitutions(record: Record, offset: int, notices: Counter[str]) -> Iterator[_Substitution]:
    """Yield the rows of one protein. Residues other than the 20 standard ones are counted in ``notices``."""
    sequence = check_unmasked(record).sequence
    for number, wild in enumerate(sequence, start=1):
        if wild not in STANDARD:
            notices[NOT_SCANNED] += 1
            continue
        for mutant in STANDARD:
            if mutant != wild:
                position = number + offset
                case = Variant(sequence, (Change(number, wild, mutant),))
                yield _Substitution(
                    record.id, record.number, position, wild, mutant, f"{wild}{position}{mutant}", case
                )
