"""Figures of what a run was trained on."""

import numpy as np
import pytest
from biofm_datasets.store import TokenStore

from biofm.report.run import Pairs, Table
from biofm.tokenizers import ProteinTokenizer
from biofm.training.reporting import data
from biofm.training.reporting.data import describe_data

TOKENIZER = ProteinTokenizer()


def described(proteins: list[str], **parts: list[int]) -> tuple[Table, Pairs]:
    store = TokenStore.of(TOKENIZER.encode(protein) for protein in proteins)
    members = {name: np.array(numbers, np.int64) for name, numbers in parts.items()}
    table, pairs = describe_data(store, members, TOKENIZER.vocabulary, n_special=2)
    assert isinstance(table, Table)
    assert isinstance(pairs, Pairs)
    return table, pairs


def test_each_part_has_its_numbers_and_lengths() -> None:
    table, _ = described(["A" * n for n in (10, 20, 30, 7)], train=[0, 1, 2], validation=[3], test=[])
    assert table.header == ("part", "sequences", "residues", "shortest", "5 %", "median", "95 %", "longest")
    assert [*table.rows] == [
        ("train", 3, 60, 10, 11, 20, 29, 30),
        ("validation", 1, 7, 7, 7, 7, 7, 7),
        ("test", 0, 0, None, None, None, None, None),
    ]


def test_the_composition_is_that_of_the_first_part_from_the_commonest_on() -> None:
    _, pairs = described(["AAAX", "WWWW", "A<mask>L"], train=[0, 2], test=[1])
    assert pairs.values == {"A": "66.67 %", "X": "16.67 %", "L": "16.67 %"}
    assert next(iter(pairs.values)) == "A"
    assert pairs.note == "Shares of the residues of 2 sequences of 2 in train."


def test_of_many_sequences_some_are_counted_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "MOST_COUNTED", 5)
    _, pairs = described(["A"] * 50 + ["W"] * 50, train=list(range(100)))
    assert pairs.values == {"A": "60.00 %", "W": "40.00 %"}
    assert pairs.note == "Shares of the residues of 5 sequences of 100 in train."


def test_an_empty_part_has_no_composition() -> None:
    _, pairs = described(["A"], train=[])
    assert pairs.values == {}
