"""Plans: no sequence is in two sets, every row is where the table says, and errors name their remedy."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from biofm.core import BiofmError
from biofm.evaluation.supervised import LabelledTable
from biofm.training.finetuning.plan import Plan, make_plan
from tests.training.finetuning.conftest import MakeRecipe, MakeTable, read_text


def plan(table: LabelledTable, make_recipe: MakeRecipe, **changes: Any) -> Plan:
    return make_plan(table, make_recipe(**changes), Counter())


def test_a_split_of_the_table_is_kept(make_table: MakeTable, make_recipe: MakeRecipe) -> None:
    table = make_table(n_rows=30)
    found = plan(table, make_recipe)
    (member,) = found.members
    assert set(table.roles[member.train]) == {"train"}
    assert set(table.roles[member.validation]) == {"validation"}
    assert set(table.roles[found.test]) == {"test"}
    assert member.held_out.tolist() == found.calibration.tolist() == member.validation.tolist()
    (fit,) = found.judged["test"].fits
    assert len(fit.train) == 24, "baselines see training and validation rows"
    assert fit.judged.tolist() == found.test.tolist()


def test_without_a_split_shares_of_the_sequences_are_held_out(
    make_table: MakeTable, make_recipe: MakeRecipe
) -> None:
    notices: Counter[str] = Counter()
    table = make_table(n_rows=100, with_split=False)
    found = make_plan(table, make_recipe(), notices)
    (member,) = found.members
    assert [len(rows) for rows in (found.test, member.validation, member.train)] == [20, 8, 72]
    together = np.concatenate([found.test, member.validation, member.train])
    assert sorted(together.tolist()) == list(range(100))
    assert notices == {"rows chosen at random as the test set, because no column names one": 20}


def test_a_sequence_is_never_drawn_to_two_sides(make_recipe: MakeRecipe) -> None:
    rows = [f"MKT{'ACDEFGHIKL'[i % 10]}Y,{i / 100 + 0.005}" for i in range(100)]
    table = read_text("sequence,y\n" + "\n".join(rows) + "\n")
    for changes in ({}, {"n_folds": 3}):
        found = plan(table, make_recipe, **changes)
        for member in found.members:
            sides = [member.train, member.validation, *([member.held_out] if changes else [found.test])]
            sequences = [{table.sequences[row] for row in rows} for rows in sides]
            assert all(sequences), "every side has rows"
            assert sum(map(len, sequences)) == len(set().union(*sequences)) == 10


def test_each_fold_is_judged_by_members_that_have_not_seen_it(
    make_table: MakeTable, make_recipe: MakeRecipe
) -> None:
    found = plan(make_table(n_rows=50, with_split=False), make_recipe, n_folds=5, n_members=2)
    assert [member.name for member in found.members[:3]] == [
        "fold-1-seed-0",
        "fold-1-seed-1",
        "fold-2-seed-0",
    ]
    assert len(found.members) == 10
    judged = found.judged["out-of-fold"]
    assert "test" not in found.judged
    assert judged.rows.tolist() == list(range(50))
    for member, fit in zip(found.members[::2], judged.fits, strict=True):
        assert sorted(member.held_out.tolist()) == sorted(fit.judged.tolist())
        assert not set(member.held_out) & (set(member.train) | set(member.validation))
        assert set(fit.train) == set(range(50)) - set(fit.judged.tolist())


def test_validation_rows_of_the_table_stop_every_fold(make_table: MakeTable, make_recipe: MakeRecipe) -> None:
    table = make_table(n_rows=50)
    found = plan(table, make_recipe, n_folds=3)
    assert list(found.judged) == ["test", "out-of-fold"]
    for member in found.members:
        assert set(table.roles[member.validation]) == {"validation"}
        assert set(table.roles[member.held_out]) == {"train"}
    assert set(table.roles[found.calibration]) == {"train"}


def test_the_plan_follows_from_the_seed(make_table: MakeTable, make_recipe: MakeRecipe) -> None:
    table = make_table(n_rows=50, with_split=False)
    same, other = (plan(table, make_recipe, seed=seed).test.tolist() for seed in (0, 1))
    assert plan(table, make_recipe).test.tolist() == same
    assert same != other
    members = plan(table, make_recipe, n_members=3, seed=7).members
    assert [member.seed for member in members] == [7, 8, 9]


def test_sequences_that_leak_are_counted(make_recipe: MakeRecipe) -> None:
    text = "sequence,y,set\n" + "".join(
        f"MKT{letter},{i}.5,{'train' if i < 5 else 'test'}\n" for i, letter in enumerate("ACDEFAGH")
    )
    notices: Counter[str] = Counter()
    make_plan(read_text(text), make_recipe(), notices)
    assert notices == {"sequences of the test set that are in the training set too": 1}


def split_rows(*cells: tuple[str, str], target: str = "y") -> str:
    letters = "ACDEFGHIKLMNPQRSTVWY"
    lines = [f"MK{letters[i]},{value},{role}" for i, (value, role) in enumerate(cells)]
    return f"sequence,{target},set\n" + "\n".join(lines) + "\n"


TRAINING = [("0.5", "train"), ("1.5", "train"), ("2.5", "train")]
TESTING = [("0.7", "test"), ("1.7", "test"), ("2.7", "test")]

# the table, its task, settings, what the message must say
WRONG: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "no training rows": (split_rows(*TESTING), "auto", {}, ["0 different sequences", "--split-column"]),
    "two training rows": (split_rows(*TRAINING[:2], *TESTING), "auto", {}, ["2 different", "at least 3"]),
    "no test rows": (split_rows(*TRAINING), "auto", {}, ["test set has only 0 rows", "--folds 5"]),
    "two test rows": (split_rows(*TRAINING, *TESTING[:2]), "auto", {"n_folds": 2}, ["has only 2 rows"]),
    "more folds than sequences": (
        split_rows(*TRAINING, *TESTING), "auto", {"n_folds": 4}, ["--folds", "4 folds", "at most 3"]
    ),
    "equal numbers": (
        split_rows(*[("0.5", "train")] * 3, *TESTING), "auto", {}, ["only 0.5 in 'y'", "nothing to learn"]
    ),
    "one class": (
        split_rows(*[("a", "train")] * 3, *[("a", "test"), ("b", "test")] * 2), "classification", {},
        ["only 'a' in 'y'", "two classes"],
    ),
    "an unseen class": (
        split_rows(("a", "train"), ("b", "train"), ("a", "train"), *[("b", "test")] * 2, ("c", "test")),
        "classification", {}, ["t.csv, line 7", "'c'", "no training row"],
    ),
    "an unseen letter": (
        split_rows(*[("HCH", "train")] * 3, *[("HCH", "test")] * 2, ("HEC", "test")), "per-residue", {},
        ["t.csv, line 7", "'E'"],
    ),
    "one label alone": (
        "sequence,a,b,set\n" + "".join(f"MK{letter},{i % 2},1,train\n" for i, letter in enumerate("ACDEF"))
        + "MKW,1,0,test\nMKY,0,1,test\nMKH,0,1,test\n",
        "multi-label", {}, ["only 1 in 'b'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_table_that_cannot_teach_or_judge_is_refused(wrong: str, make_recipe: MakeRecipe) -> None:
    text, task, changes, message = WRONG[wrong]
    with pytest.raises(BiofmError) as caught:
        plan(read_text(text, task), make_recipe, **changes)
    for part in message:
        assert part in str(caught.value)


FEW: dict[str, tuple[str, dict[str, Any], str]] = {
    "copies": (
        "MKTAY,1.5\nMKTAY,2.5\nMKTAY,3.5\nMKTAY,0.5\n", {},
        "t.csv: the table has only 1 different sequence with a target, in 4 rows. "
        "Give at least 13, of which a share of 0.2 is the test set",
    ),
    "too few for a test set": (
        "MKA,1.5\nMKC,2.5\nMKD,3.5\nMKE,0.5\n", {},
        "t.csv: the table has only 4 different sequences with a target, in 4 rows. "
        "Give at least 13, of which a share of 0.2 is the test set; or give --folds 4 to evaluate by "
        "cross-validation",
    ),
    "folds": (
        "MKA,1.5\nMKC,2.5\n", {"n_folds": 2},
        "t.csv: the table has only 2 different sequences with a target, in 2 rows. Give at least 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("few", FEW)
def test_too_few_sequences_are_counted_over_the_whole_table(few: str, make_recipe: MakeRecipe) -> None:
    rows, changes, message = FEW[few]
    with pytest.raises(BiofmError) as caught:
        plan(read_text(f"sequence,y\n{rows}", "regression"), make_recipe, **changes)
    assert str(caught.value) == message


def test_as_many_sequences_as_are_asked_for_are_enough(
    make_table: MakeTable, make_recipe: MakeRecipe
) -> None:
    for share, n_needed in ((0.2, 13), (0.5, 6), (0.05, 51)):
        plan(make_table(n_rows=n_needed, with_split=False), make_recipe, test_share=share)
        with pytest.raises(BiofmError, match=f"Give at least {n_needed}, "):
            plan(make_table(n_rows=n_needed - 1, with_split=False), make_recipe, test_share=share)
