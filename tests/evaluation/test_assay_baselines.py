"""Which baselines a table allows, and their values."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from biofm_datasets import parse_variant
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core import InputError
from biofm.evaluation import Assay, Missing, blosum62
from biofm.evaluation.assay_baselines import UNSCORED, Baseline, find_assay_baselines, residues_at_sites
from biofm.modalities import PROTEIN

SUBSTITUTIONS = ["A1G", "A1W", "C2D", "C2W:D3E", "D3K", "D3E"]


def assay(
    variants: Sequence[str] | None = None,
    sequences: Sequence[str] | None = None,
    is_train: NDArray[np.bool_] | None = None,
) -> Assay:
    n_rows = len(variants or sequences or ())
    measured = np.arange(float(n_rows))
    return Assay(
        name="t.csv",
        modality=PROTEIN,
        places=[f"line {row + 2}" for row in range(n_rows)],
        measured=measured,
        scores={},
        is_judged=np.ones(n_rows, np.bool_) if is_train is None else ~is_train,
        is_positive=measured > 2,
        positive="",
        threshold=None,
        changes=None if variants is None else [parse_variant(variant) for variant in variants],
        sequences=None if sequences is None else list(sequences),
    )


def find(table: Assay, notices: Counter[str] | None = None) -> dict[str, Baseline | Missing]:
    found = find_assay_baselines(
        table, seed=0, notices=Counter() if notices is None else notices, progress=lambda done, total: None
    )
    return {baseline.name: baseline for baseline in found}


def values_of(found: Baseline | Missing) -> Floats:
    assert isinstance(found, Baseline), found.reason
    return found.values


def fitted_to(found: Baseline | Missing) -> str:
    assert isinstance(found, Baseline), found.reason
    return found.fitted


def reason_of(found: Baseline | Missing) -> str:
    assert isinstance(found, Missing)
    return found.reason


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("A24G", 0 - 4),  # B(A,G) - B(A,A), read from the matrix as Henikoff and Henikoff print it
        ("W3C", -2 - 11),
        ("I7V", 3 - 4),
        ("A24G:W3C", -4 - 13),
        ("p.Ile7Val", -1),
        ("A24A", 0),
        ("WT", 0),
        ("A24del", np.nan),
        ("A24_T25insGP", np.nan),
        ("A24U", np.nan),  # selenocysteine, which the matrix lacks
    ],
)
def test_blosum62_sums_over_the_sites(variant: str, expected: float) -> None:
    np.testing.assert_array_equal(blosum62([parse_variant(variant)]), [expected])


def test_variants_tell_the_wild_type_at_the_sites_that_they_change() -> None:
    changes = [parse_variant(text) for text in ("C30D", "A24G:C30W", "WT", "K5R")]
    assert residues_at_sites(changes, str) == ["KAD", "KGW", "KAC", "RAC"]


def test_variants_of_two_proteins_are_an_error_that_names_both_rows() -> None:
    with pytest.raises(InputError) as caught:
        find(assay(["A1G", "C2D", "S1T"]))
    assert str(caught.value).startswith(
        "t.csv, line 4: position 1 is S in the wild type, but A in t.csv, line 2"
    )


def test_substitutions_alone_give_blosum62_and_the_one_hot_ridge() -> None:
    found = find(assay(SUBSTITUTIONS))
    assert set(found) == {"BLOSUM62", "one-hot ridge"}
    assert fitted_to(found["BLOSUM62"]) == ""
    assert "5-fold" in fitted_to(found["one-hot ridge"])


def test_sites_give_the_ridge_of_whole_sequences() -> None:
    whole = ["ACDKL", "GCDKL", "WCDKL", "ADDKL", "AWEKL", "ACKKL", "ACEKL"]
    by_sites, by_sequences = find(assay(["WT", *SUBSTITUTIONS])), find(assay(sequences=whole))
    expected = values_of(by_sequences["one-hot ridge"])
    np.testing.assert_allclose(values_of(by_sites["one-hot ridge"]), expected, atol=1e-9)


def test_insertions_are_counted_and_left_out_of_blosum62() -> None:
    notices: Counter[str] = Counter()
    found = find(assay([*SUBSTITUTIONS, "A1del", "A1_C2insG"]), notices)
    assert notices[UNSCORED] == 2
    assert np.isnan(values_of(found["BLOSUM62"]))[-2:].all()
    assert "--wild-type" in reason_of(found["one-hot ridge"])


def test_sequences_of_many_lengths_give_the_kmer_ridge() -> None:
    found = find(assay(sequences=["ACDEF", "ACDE", "ACDEFG", "CCDEF", "ACDFF", "AADEF"]))
    assert fitted_to(found["k-mer ridge"])
    assert "4 to 6 residues" in reason_of(found["one-hot ridge"])
    assert "--wild-type" in reason_of(found["BLOSUM62"])


def test_with_a_split_the_ridge_learns_from_the_training_rows_alone() -> None:
    is_train = np.array([True, True, False, True, False, False])
    found = find(assay(SUBSTITUTIONS, is_train=is_train))["one-hot ridge"]
    np.testing.assert_array_equal(np.isnan(values_of(found)), is_train)
    assert fitted_to(found) == "the 3 rows of the training set"


@pytest.mark.parametrize(
    ("table", "name", "reason"),
    [
        (assay(), "BLOSUM62", "--variant-column"),
        (assay(), "one-hot ridge", "--variant-column or --mutated-column"),
        (assay(["A1del", "C2del"]), "BLOSUM62", "no variant consists of substitutions alone"),
        (assay(["A1G", "A1V", "A1G"]), "one-hot ridge", "2 distinct sequences cannot fill 5 folds"),
        (assay(["A1G", "C2D", "E3del"]), "BLOSUM62", "a value for only 2 rows"),
        (assay(["A1A", "WT", "C2C"]), "BLOSUM62", "every row the same value"),
        (assay(SUBSTITUTIONS, is_train=np.arange(6) == 0), "one-hot ridge", "the same value"),
    ],
)
def test_a_baseline_that_cannot_be_had_says_why(table: Assay, name: str, reason: str) -> None:
    assert reason in reason_of(find(table)[name])
