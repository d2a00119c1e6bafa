"""What can be asked of a split, and what cannot."""

from typing import Any

import pytest
from biofm_datasets import DataError
from biofm_datasets.splits import SplitOptions

WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown method": ({"method": "scaffold"}, "--split", "no such choice: 'scaffold'"),
    "an unknown tool": ({"tool": "blast"}, "--split-tool", "no such choice: 'blast'"),
    "a negative share": ({"method": "random", "test": -0.1}, "--test", "-0.1 is no amount"),
    "a share above one": ({"method": "random", "validation": 1.5}, "--validation", "1.5 is no amount"),
    "no number": ({"method": "random", "test": float("nan")}, "--test", "nan is no amount"),
    "nothing held out": ({"method": "random"}, "--split random", "the amount to hold out is missing"),
    "no clusters held out": ({"method": "cluster"}, "--split cluster", "the amount to hold out is missing"),
    "no groups": ({"method": "group", "column": "x"}, "--split group", "the amount to hold out is missing"),
    "no split, but held out": ({"test": 0.1}, "--validation, --test", "nothing is held out"),
    "a column and shares": (
        {"method": "column", "column": "x", "test": 5},
        "--validation, --test",
        "the column already says",
    ),
    "no column": ({"method": "column"}, "--split-column", "needs a column"),
    "a column too many": (
        {"method": "random", "test": 5, "column": "x"},
        "--split-column",
        "a column is for",
    ),
    "groups at random": (
        {"method": "random", "test_groups": ("a",)},
        "--validation-group, --test-group",
        "groups are for",
    ),
    "one group twice": (
        {"method": "group", "column": "x", "test_groups": ("a",), "validation_groups": ("a", "b")},
        "--validation-group, --test-group",
        "the group 'a' is named for both",
    ),
    "names and numbers": (
        {"method": "group", "column": "x", "test_groups": ("a",), "test": 2},
        "--validation, --test",
        "by name and by amount",
    ),
    "an identity of percent": (
        {"method": "identity", "test": 5, "max_identity": 30},
        "--max-identity",
        "30 is not between 0.1 and 1",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_options_that_do_not_fit_are_named(wrong: str) -> None:
    options, where, message = WRONG[wrong]
    with pytest.raises(DataError) as caught:
        SplitOptions(**options)
    assert caught.value.where == where
    assert message in caught.value.what
    assert caught.value.remedy


def test_groups_that_the_records_know_themselves_need_no_column() -> None:
    options = SplitOptions(method="group", test=1, own_groups=True)
    assert (options.column, options.needs_keys) == ("", True)
    for wrong in ({"method": "group", "test": 1}, {"method": "column", "own_groups": True}):
        with pytest.raises(DataError, match="needs a column that names the part or group"):
            SplitOptions(**wrong)  # type: ignore[arg-type]


def test_the_record_names_what_decides_a_split_and_no_more() -> None:
    assert SplitOptions().parameters() == {}
    options = SplitOptions(method="random", validation=0.1, test=20, seed=3)
    assert options.parameters() == {"validation": 0.1, "test": 20, "seed": 3}
    assert SplitOptions(method="column", column="set").parameters() == {"column": "set"}
