"""Baselines of an assay: a substitution matrix scores its variants, and ridge regressions are fitted to its
measurements.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from biofm_datasets import Change
from biofm_datasets.arrays import Floats
from biofm_datasets.progress import OnStep
from biofm_datasets.text import format_count
from biofm_datasets.variants import UNSPELT
from numpy.typing import NDArray

from biofm.core.errors import InputError
from biofm.evaluation.assay import FEWEST_ROWS, Assay
from biofm.evaluation.features import count_features, kmers, one_hot
from biofm.evaluation.linear_models import N_FOLDS, deal_folds, predict_by_sparse_ridge, predict_out_of_fold

BLOSUM62 = "BLOSUM62"
ONE_HOT = "one-hot ridge"
KMERS = "k-mer ridge"

ALIKE = "it gives every row the same value, so it ranks none above another"
FITTED_ALIKE = (
    "it gives every row the same value: the rows that it learned from share no change with those that it "
    "predicts. Give a table with more variants of the same positions"
)
UNSCORED = f"variants that {BLOSUM62} does not score (not substitutions alone, or of a residue it lacks)"


class Baseline(NamedTuple):
    """Holds the scores of a baseline, one for each row, and NaN where it has none.

    ``fitted`` says which measurements it was fitted to; empty if it saw none.
    """

    name: str
    values: Floats
    fitted: str = ""


class Missing(NamedTuple):
    """Names a baseline that cannot be computed, and says why.

    Attributes:
        name: Name of the baseline.
        reason: The reason, as a part of a sentence.
    """

    name: str
    reason: str


def find_assay_baselines(
    assay: Assay, seed: int, notices: Counter[str], progress: OnStep
) -> list[Baseline | Missing]:
    """Compute every baseline that the table allows, and say why the others are missing."""
    found = [_find_blosum62(assay, notices), *_find_ridges(assay, seed, progress)]
    return [_if_it_ranks(it, assay.is_judged) if isinstance(it, Baseline) else it for it in found]


def blosum62(changes: Sequence[Sequence[Change]]) -> Floats:
    """Compute the BLOSUM62 score of each variant: the sum of B(wild, mutant) - B(wild, wild) over its
    substitutions (Henikoff and Henikoff 1992).

    The score is NaN for a variant with insertions or deletions, or with a residue that the matrix lacks.

    Args:
        changes: Changes of each variant.
    """
    return np.array([_blosum62_of(change) for change in changes], np.float64)


def residues_at_sites(changes: Sequence[Sequence[Change]], where: Callable[[int], str]) -> list[str] | None:
    """Return for each variant its residues at all sites that any variant changes, which is all that tells
    variants apart.

    Returns None if a variant inserts or deletes, so that the sites do not line up.

    Raises:
        InputError: Two variants name different wild-type residues at one site.
    """
    wild: dict[int, str] = {}
    named_by: dict[int, int] = {}
    for row, variant in enumerate(changes):
        if not all(map(_is_substitution, variant)):
            return None
        for change in variant:
            for position, residue in enumerate(change.wild, start=change.position):
                if wild.setdefault(position, residue) != residue:
                    what = f"position {position} is {residue} in the wild type, but {wild[position]} in "
                    remedy = "Correct the variants; all must be of one protein"
                    what += where(named_by[position])
                    raise InputError(what, where=where(row), remedy=remedy)
                named_by.setdefault(position, row)
    place = {position: i for i, position in enumerate(sorted(wild))}
    usual = [wild[position] for position in sorted(wild)]
    return [_with_changes(usual, variant, place) for variant in changes]


def _find_blosum62(assay: Assay, notices: Counter[str]) -> Baseline | Missing:
    if not assay.modality.has_variants:
        reason = f"it scores amino acids, and the table holds {assay.modality.words.items}"
        return Missing(BLOSUM62, reason)
    if assay.changes is None and assay.sequences is None:
        return Missing(BLOSUM62, _why_unknown(assay, "--variant-column"))
    if assay.changes is None:
        reason = "the wild type is not known; give --wild-type, or the variants with --variant-column"
        return Missing(BLOSUM62, reason)
    values = blosum62(assay.changes)
    if np.isnan(values[assay.is_judged]).all():
        return Missing(BLOSUM62, "no variant consists of substitutions alone")
    if n_unscored := int(np.isnan(values[assay.is_judged]).sum()):
        notices[UNSCORED] = n_unscored
    return Baseline(BLOSUM62, values)


def _find_ridges(assay: Assay, seed: int, progress: OnStep) -> list[Baseline | Missing]:
    """Fit a ridge to one-hot features if all sequences have one length, otherwise to k-mers."""
    sequences = assay.sequences
    if sequences is None and assay.changes is not None:
        sequences = residues_at_sites(assay.changes, assay.where)
        if sequences is None:
            reason = "some variants insert or delete; give --wild-type, or sequences by --mutated-column"
            return [Missing(ONE_HOT, reason)]
    if sequences is None:
        return [Missing(ONE_HOT, _why_unknown(assay, "--variant-column or --mutated-column"))]
    lengths = {len(assay.modality.units(sequence)) for sequence in sequences}
    if len(lengths) == 1:
        return [_fit(ONE_HOT, assay, sequences, seed, progress)]
    units = assay.modality.words.units
    reason = f"the sequences are {min(lengths):,} to {max(lengths):,} {units} long; see {KMERS}"
    return [Missing(ONE_HOT, reason), _fit(KMERS, assay, sequences, seed, progress)]


def _why_unknown(assay: Assay, options: str) -> str:
    """Return why no variants are known. ``options`` are those that name their column."""
    if not assay.modality.has_variants:
        return f"the {assay.modality.words.items} are not known; name their column with --mutated-column"
    if assay.unread_column is not None:
        return f"column {assay.unread_column!r} was not read as variants; the notice says why, and what to do"
    return f"the variants are not known; name their column with {options}"


def _fit(name: str, assay: Assay, sequences: list[str], seed: int, progress: OnStep) -> Baseline | Missing:
    is_train = ~assay.is_judged
    n_distinct = len(set(sequences))
    if not is_train.any() and n_distinct < N_FOLDS:
        return Missing(name, f"{format_count(n_distinct, 'distinct sequence')} cannot fill {N_FOLDS} folds")
    features_of = one_hot if name == ONE_HOT else kmers
    rows = [*map(assay.modality.codes, sequences)]
    features = count_features(rows, features_of, assay.modality.n_codes)
    if not is_train.any():
        folds = deal_folds(sequences, seed)
        values = predict_out_of_fold(features, assay.measured, folds, progress)
        fitted = f"{N_FOLDS}-fold cross-validation, equal sequences in one fold, seed {seed}"
    else:
        values = np.full(len(sequences), np.nan)
        values[assay.is_judged] = predict_by_sparse_ridge(
            features[is_train], assay.measured[is_train], features[assay.is_judged]
        )
        fitted = f"the {format_count(int(is_train.sum()), 'row')} of the training set"
    return Baseline(name, values, fitted)


def _if_it_ranks(baseline: Baseline, is_judged: NDArray[np.bool_]) -> Baseline | Missing:
    values = baseline.values[is_judged & ~np.isnan(baseline.values)]
    if len(values) < FEWEST_ROWS:
        return Missing(baseline.name, f"it has a value for only {format_count(len(values), 'row')}")
    if values.min() == values.max():
        return Missing(baseline.name, FITTED_ALIKE if baseline.fitted else ALIKE)
    return baseline


def _is_substitution(change: Change) -> bool:
    return len(change.wild) == len(change.mutant) and UNSPELT not in change.wild + change.mutant


def _with_changes(usual: list[str], variant: Sequence[Change], place: dict[int, int]) -> str:
    residues = usual.copy()
    for change in variant:
        for position, residue in enumerate(change.mutant, start=change.position):
            residues[place[position]] = residue
    return "".join(residues)


def _blosum62_of(variant: Sequence[Change]) -> float:
    matrix = _matrix()
    if not all(map(_is_substitution, variant)):
        return np.nan
    pairs = [pair for change in variant for pair in zip(change.wild, change.mutant, strict=True)]
    if not all((a, b) in matrix for a, b in pairs):
        return np.nan
    return sum(matrix[a, b] - matrix[a, a] for a, b in pairs)


@cache
def _matrix() -> dict[tuple[str, str], float]:
    from Bio.Align import substitution_matrices  # takes 0.3 s to import

    matrix = substitution_matrices.load("BLOSUM62")
    return {(a, b): float(matrix[a, b]) for a in matrix.alphabet for b in matrix.alphabet}
