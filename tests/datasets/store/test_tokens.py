"""Sequences of tokens by their number."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets.store import TokenStore


def test_a_sequence_is_what_was_given(sequences: list[Any]) -> None:
    store = TokenStore.of(iter(sequences))
    assert len(store) == 30
    for i, sequence in enumerate(sequences):
        assert store[i].tolist() == sequence.tolist()
    assert [found.tolist() for found in store] == [sequence.tolist() for sequence in sequences]
    assert store[-1].tolist() == sequences[-1].tolist()
    assert store.tokens.dtype == np.uint8
    with pytest.raises(IndexError):
        store[30]


def test_lengths_of_all_of_some_and_of_a_slice(sequences: list[Any]) -> None:
    store, lengths = TokenStore.of(sequences), np.array([len(sequence) for sequence in sequences])
    assert store.lengths().tolist() == lengths.tolist()
    assert store.lengths(np.array([5, 0, 29, 5])).tolist() == lengths[[5, 0, 29, 5]].tolist()
    assert store.lengths(slice(3, 20, 2)).tolist() == lengths[3:20:2].tolist()
    assert store.lengths(np.empty(0, np.int64)).tolist() == []


def test_no_sequences_are_a_store_too() -> None:
    store = TokenStore.of([])
    assert (len(store), store.lengths().tolist()) == (0, [])


def test_a_mapped_store_is_the_same(sequences: list[Any], store: Path) -> None:
    mapped = TokenStore.mapped(store)
    assert [found.tolist() for found in mapped] == [sequence.tolist() for sequence in sequences]
    assert mapped.lengths().tolist() == TokenStore.of(sequences).lengths().tolist()


def test_a_mapped_store_is_pickled_as_its_path(sequences: list[Any], store: Path) -> None:
    pickled = pickle.dumps(TokenStore.mapped(store))
    assert len(pickled) < 300
    assert [found.tolist() for found in pickle.loads(pickled)] == [s.tolist() for s in sequences]


def test_a_store_in_memory_is_pickled_whole(sequences: list[Any]) -> None:
    again = pickle.loads(pickle.dumps(TokenStore.of(sequences)))
    assert [found.tolist() for found in again] == [sequence.tolist() for sequence in sequences]
