"""What a table of sequences and targets is read as, and what is said of a wrong one."""

import io
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest
from biofm_datasets import DataError
from biofm_datasets.ids import REPEATED_IDS

from biofm.core import BiofmError, InputError, OptionError
from biofm.evaluation.supervised import NO_ROLE, UNKNOWN, LabelledTable, LabelOptions, read_labelled
from biofm.modalities import PROTEIN

HEAD = "id,sequence,"


def read(
    text: str, *, targets: tuple[str, ...] = ("y",), notices: Counter[str] | None = None, **changes: Any
) -> LabelledTable:
    skips = changes.pop("skip_faulty", False)
    options = LabelOptions(**{"column": "sequence", "targets": targets} | changes)
    counted = Counter() if notices is None else notices
    return read_labelled(io.BytesIO(text.encode()), "t.csv", PROTEIN, options, counted, skip_faulty=skips)


def rows(values: list[Any], sequence: str = "MKTAY") -> str:
    return HEAD + "y\n" + "".join(f"p{i},{sequence},{value}\n" for i, value in enumerate(values))


# cells of the target, the task that they speak for, why
TASKS: dict[str, tuple[list[Any], str, str]] = {
    "decimals": ([0.5, 1.5, -2.0], "regression", "numbers"),
    "many whole numbers": ([1, 2, 3, 4, 5, 6], "regression", "numbers"),
    "0 and 1": ([0, 1, 1, 0], "classification", "2 different whole numbers"),
    "few whole numbers in many rows": ([1, 2, 3] * 5, "classification", "3 different whole numbers"),
    "few texts": (["alpha", "all beta", "alpha", "all beta"], "classification", "2 different texts"),
    "truth values": (["True", "False", "True", "False"], "classification", "2 different texts"),
    "texts of the sequence's length": (["HHEEC", "CCCCC"], "per-residue", "a letter for every residue"),
    "numbers of the sequence's length": (["0.512", "1.999"], "regression", "numbers"),
    "numbers with gaps": ([0.5, "", "nan", 2.5], "regression", "numbers"),
}


@pytest.mark.parametrize("kind", TASKS)
def test_the_task_follows_from_the_cells(kind: str) -> None:
    cells, task, why = TASKS[kind]
    table = read(rows(cells))
    assert table.labels.task == task
    assert why in table.why


def test_digits_one_a_residue_are_labels_and_no_number() -> None:
    table = read(rows(["0101100110", "1111100000"], sequence="MKTAYMKTAY"))
    assert table.labels.task == "per-residue"
    assert table.labels.classes == ("0", "1")


def test_labels_of_residues_go_with_the_gaps_that_are_dropped() -> None:
    """A label stands for a character of the cell: those of gaps and of the stop are of no residue."""
    text = rows(["HxHEx*", "CxCCx*"], sequence="M-KT.*")
    notices: Counter[str] = Counter()
    table = read(text, notices=notices)
    assert (table.sequences, table.labels.task) == (["MKT", "MKT"], "per-residue")
    assert "".join(np.array(table.labels.classes)[table.labels.codes]) == "HHECCC"
    assert notices["sequences whose alignment gaps (- and .) were dropped"] == 2
    assert read(rows(["HHE", "CCC"], sequence="M-KT.*")).labels.codes.tolist() == table.labels.codes.tolist()
    kept = read(text, gaps="keep")
    assert (kept.sequences[0], len(kept.labels.codes)) == ("M-KT.", 10)


def test_the_index_of_a_parquet_file_gives_the_ids() -> None:
    frame = pd.DataFrame({"sequence": ["MK", "MV", "MA"], "y": [0.5, 1.5, 2.5]}, index=["a", "b", "c"])
    options = LabelOptions(column="sequence", targets=("y",))
    assert read_labelled(io.BytesIO(frame.to_parquet()), "t.parquet", PROTEIN, options, Counter()).ids == [
        *"abc"
    ]


def test_ids_that_repeat_are_counted() -> None:
    notices: Counter[str] = Counter()
    read(HEAD + "y\na,MK,1.5\nb,MKT,2.5\na,MKV,0.5\n", notices=notices)
    assert notices == {REPEATED_IDS: 1}


def test_several_targets_are_labels_where_they_hold_0_and_1_and_numbers_otherwise() -> None:
    binary = HEAD + "a,b\np,MK,1,0\nq,MKT,0,\nr,MKTA,true,1.0\n"
    labels = read(binary, targets=("a", "b")).labels
    assert labels.task == "multi-label"
    np.testing.assert_array_equal(labels.numbers, [[1, 0], [0, np.nan], [1, 1]])
    assert read(binary.replace("true", "0.7"), targets=("a", "b")).labels.task == "regression"


def test_a_task_that_was_asked_for_counts_more() -> None:
    assert read(rows([0, 1, 1, 0]), task="regression").labels.task == "regression"
    labels = read(rows([10, 9, 9]), task="classification").labels
    assert labels.classes == ("9", "10"), "classes that are numbers stand in their order"
    assert labels.codes.tolist() == [1, 0, 0]


def test_rows_without_a_target_are_left_out_and_counted() -> None:
    notices: Counter[str] = Counter()
    table = read(rows([0.5, "", "NA", 2.5]), notices=notices)
    assert table.ids == ["p0", "p3"]
    assert notices == {"rows without a value in 'y', left out": 2}


def test_none_is_a_class_like_any_other() -> None:
    assert read(rows(["none", "toxin", "none", "toxin"])).labels.classes == ("none", "toxin")


def test_residues_of_which_nothing_is_known_are_marked() -> None:
    table = read(HEAD + "y\na,MKTAY,HH??C\nb,MK,??\nc,MKT,HCH\n", unknown_letters="?")
    assert table.labels.classes == ("C", "H")
    assert table.ids == ["a", "c"]
    assert table.labels.codes.tolist() == [1, 1, UNKNOWN, UNKNOWN, 0, 1, 0, 1]
    assert table.labels.take(np.array([1])).codes.tolist() == [1, 0, 1]
    assert table.labels.take(np.array([1, 0])).codes.tolist() == [1, 0, 1, 1, 1, UNKNOWN, UNKNOWN, 0]


def test_the_label_of_a_dropped_stop_is_dropped_and_a_mask_has_one_label() -> None:
    table = read(HEAD + "y\na,MKT*,HHC-\nb,M<mask>T,HCH\n")
    assert table.labels.codes.tolist() == [1, 1, 0, 1, 0, 1]


def test_sets_go_by_many_names() -> None:
    notices: Counter[str] = Counter()
    text = "sequence,y,part\n" + "".join(
        f"MKTA{letter},{i}.5,{part}\n"
        for i, (letter, part) in enumerate(
            zip("ACDEFG", ["train", "Training", "val", "validation", "TEST", "other"], strict=True)
        )
    )
    table = read(text, split_column="part", notices=notices)
    assert table.roles.tolist() == ["train", "train", "validation", "validation", "test"]
    assert table.ids == ["1", "2", "3", "4", "5"], "without a column of ids the row's number is one"
    assert notices == {"rows that are neither train, validation nor test in 'part', left out": 1}


def test_a_column_of_flip_moves_training_rows_to_validation() -> None:
    text = "sequence,y,set,validation\nMA,0.1,train,\nMC,0.2,train,True\nMD,0.3,test,\nME,0.4,train,False\n"
    table = read(text, split_column="set", validation_column="validation")
    assert table.roles.tolist() == ["train", "validation", "test", "train"]
    assert set(read(rows([0.5, 1.5])).roles) == {NO_ROLE}


def test_parquet_is_read_like_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sequence": ["MK", "MKT"], "y": [0.5, None], "z": [1, 2]})
    frame.to_parquet(tmp_path / "t.parquet")
    options = LabelOptions(column="sequence", targets=("y", "z"))
    with (tmp_path / "t.parquet").open("rb") as stream:
        table = read_labelled(stream, "t.parquet", PROTEIN, options, Counter())
    np.testing.assert_array_equal(table.labels.numbers, [[0.5, 1], [np.nan, 2]])
    assert table.where(1) == "t.parquet, row 2"


def test_faulty_rows_can_be_left_out_and_are_counted() -> None:
    notices: Counter[str] = Counter()
    text = HEAD + "y\na,MKTAY,0.5\nb,MK7AY,0.5\nc,MKTAY,high\nd,MKTAY,1.5\n"
    table = read(text, skip_faulty=True, task="regression", notices=notices)
    assert table.ids == ["a", "d"]
    assert notices == {
        "rows at fault, left out": 2,
        "Skipped: t.csv, record 2 (b): position 3 holds '7', which no protein alphabet has.": 1,
        "Skipped: t.csv, line 4, column 'y': 'high' is no number.": 1,
    }


# the table, how it is read, what the message must say
WRONG: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "no such target": (rows([1.5]), {"targets": ("z",)}, ["t.csv", "'z'", "id, sequence, y"]),
    "no such sequence column": (rows([1.5]), {"column": "seq"}, ["t.csv", "'seq'"]),
    "no sequence column": (rows([1.5]), {"column": None}, ["--column", "id, sequence, y"]),
    "no such split": (rows([1.5]), {"split_column": "set"}, ["'set'", "id, sequence, y"]),
    "no such ids": (rows([1.5]), {"id_column": "name"}, ["'name'"]),
    "no target": (rows([1.5]), {"targets": ()}, ["--target"]),
    "the sequence as target": (rows([1.5]), {"targets": ("sequence",)}, ["--target", "'sequence'", "also"]),
    "a target twice": (rows([1.5]), {"targets": ("y", "y")}, ["--target", "'y'", "also"]),
    "the split as target": (rows([1.5]), {"split_column": "y"}, ["--target", "'y'", "also"]),
    "two targets of one class": (
        rows([1.5]), {"targets": ("y", "id"), "task": "classification"}, ["classification has one target"]
    ),
    "two targets of words and numbers": (rows([1.5]), {"targets": ("y", "id")}, ["y, id", "neither"]),
    "validation without a split": (rows([1.5]), {"validation_column": "id"}, ["--validation-column"]),
    "a validation column of words": (
        "sequence,y,set,v\nMK,1.5,train,perhaps\n", {"split_column": "set", "validation_column": "v"},
        ["t.csv, line 2", "'perhaps'"],
    ),
    "no such task": (rows([1.5]), {"task": "clustering"}, ["--task", "clustering", "per-residue"]),
    "all missing": (rows(["", "", ""]), {}, ["t.csv", "no row has a value in 'y'"]),
    "all not available": (rows(["NA", "NA"]), {}, ["t.csv", "no row with a target"]),
    "a word among numbers": (
        rows([1.5, "high", 2.5]), {"task": "regression"}, ["t.csv, line 3", "column 'y'", "'high' is no"]
    ),
    "texts all different": (rows(["one", "two", "three"]), {}, ["'y'", "3 different texts", "--task"]),
    "an infinite number": (rows([1.5, "inf"]), {"task": "regression"}, ["line 3", "'inf' is not finite"]),
    "a label that is neither": (
        rows([0, 2]), {"task": "multi-label"}, ["t.csv, line 3", "column 'y'", "'2' is neither 0 nor 1"]
    ),
    "labels of another length": (
        rows(["HHEEC"] * 12 + ["HHEE"]), {}, ["t.csv, line 14", "column 'y'", "4 labels for 5 residues"]
    ),
    "an empty sequence": (rows([1.5]) + "z,,2.5\n", {}, ["t.csv", "record 2 (z)", "empty"]),
    "a digit in a sequence": (rows([1.5]) + "z,MK7,2.5\n", {}, ["t.csv", "record 2 (z)", "position 3"]),
    "a ragged row": (rows([1.5]) + "z,MK\n", {}, ["t.csv, line 3", "2 cells"]),
    "a header alone": (HEAD + "y\n", {}, ["t.csv", "no records"]),
    "a gap where none may be": (
        rows([1.5, 2.5], sequence="MK-T"), {"gaps": "refuse"}, ["t.csv, record 1 (p0)", "position 3", "gap"]
    ),
    "no such way with gaps": (rows([1.5]), {"gaps": "close"}, ["--gaps", "close", "refuse"]),
    "FASTA": (">a\nMK\n", {}, ["t.csv", "FASTA"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_table_is_refused_with_its_place(wrong: str) -> None:
    text, options, message = WRONG[wrong]
    with pytest.raises((BiofmError, DataError)) as caught:
        read(text, **options)
    assert isinstance(caught.value, InputError | OptionError | DataError)
    for part in message:
        assert part in str(caught.value)


def test_the_splits_of_gb1_are_read_as_flip_means_them(real_data: Path) -> None:
    with ZipFile(real_data / "protein" / "flip" / "gb1_splits.zip") as archive:
        text = archive.read("splits/two_vs_rest.csv").decode()
    table = read(text, targets=("target",), split_column="set", validation_column="validation")
    assert Counter(table.roles.tolist()) == {"train": 381, "validation": 43, "test": 8309}
    assert table.labels.task == "regression"
