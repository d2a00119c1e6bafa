"""The output of finished journals: every record once, in order, and nothing missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biofm.core import InputError, Progress
from biofm.core.journal import Entry, Journal, key_of
from biofm.core.outputs import EmbeddingBlock, ProvenanceFields
from biofm.inference.runs import output, write_embeddings

N_RECORDS, D_MODEL = 9, 4


class Kept:
    """A store that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[EmbeddingBlock] = []

    def append(self, block: EmbeddingBlock) -> None:
        self.blocks.append(block)

    def close(self, provenance: ProvenanceFields) -> None:
        raise AssertionError("closing is the caller's")


def journal_of(numbers: Sequence[int], path: Path, n_records: int = N_RECORDS) -> Journal:
    """A finished journal in which record n has n % 3 + 1 rows of the number n % 3."""
    journal = Journal(path)
    journal.begin({"d_model": D_MODEL}, {"pooling": "none"})
    rows = {
        key_of(str(n % 3)): np.full(D_MODEL * (n % 3 + 1), n % 3, np.float32)
        for n in {n % 3: n for n in numbers}.values()
    }
    entries = [Entry(n, [f"p{n}", n + 2, n % 3 + 1], [key_of(str(n % 3))]) for n in numbers]
    journal.commit(entries, rows)
    journal.finish({"n_records": n_records})
    return journal


def journal_with(payloads: Sequence[list[Any]], path: Path) -> Journal:
    """A finished journal of records of two residues, a row each."""
    journal = Journal(path)
    journal.begin({"d_model": D_MODEL}, {"pooling": "mean"})
    entries = [Entry(n, payload, [key_of("a")]) for n, payload in enumerate(payloads, start=1)]
    journal.commit(entries, {key_of("a"): np.zeros(D_MODEL, np.float32)})
    journal.finish({"n_records": len(payloads)})
    return journal


def merge(tmp_path: Path, *parts: Sequence[int], n_records: int = N_RECORDS) -> Kept:
    store = Kept()
    journals = [journal_of(part, tmp_path / f"{i}", n_records) for i, part in enumerate(parts)]
    n_rows, _ = write_embeddings(journals, store, Progress("writing", quiet=True))
    assert n_rows == sum(len(block.values) for block in store.blocks)
    return store


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
@pytest.mark.parametrize(
    "parts",
    [[range(1, 10)], [[2, 3, 9], [1, 4, 5, 6, 7, 8]], [[], range(1, 10)], [[7], [1, 2, 3], [4, 5, 6, 8, 9]]],
)
def test_records_of_all_journals_come_in_the_order_of_the_input(
    parts: list[Sequence[int]], block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "BLOCK_BYTES", block_bytes)

    blocks = merge(tmp_path, *parts).blocks

    assert [id_ for block in blocks for id_ in block.ids] == [f"p{n}" for n in range(1, 10)]
    assert [n for block in blocks for n in block.records] == list(range(3, 12))
    assert [n for block in blocks for n in block.n_residues] == [n % 3 + 1 for n in range(1, 10)]
    expected = np.concatenate([np.full((n % 3 + 1, D_MODEL), n % 3) for n in range(1, 10)])
    np.testing.assert_array_equal(np.concatenate([block.values for block in blocks]), expected)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([[2, 3, 4, 5, 6, 7, 8, 9]], "record 1 is in none of these shards"),
        ([[1, 2, 5, 6], [7, 8, 9]], "records 3 to 4 are in none of these shards"),
        ([[1, 2, 3], [4, 5, 6, 7]], "records 8 to 9 are in none of these shards"),
        ([[1, 2, 3, 4, 5], [5, 6, 7, 8, 9]], "record 5 is in two of these shards"),
        ([range(1, 10), [10]], "record 10 does not exist: the input has 9 records"),
    ],
)
def test_a_record_that_is_missing_or_doubled_is_named(
    parts: list[Sequence[int]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as fault:
        merge(tmp_path, *parts)
    assert str(tmp_path / "0") in fault.value.where


WRONG_RECORDS: dict[str, list[Any]] = {
    "no length": ["p1", 3],
    "a length of no protein": ["p1", 3, 1 << 70],
    "another length": ["p1", 3, 4],
    "a number before its own": ["p1", 0, 2],
    "a number beyond 64 bits": ["p1", 1 << 63, 2],
    "a name that is none": [1, 3, 2],
    "a name that no text file takes": ["p\0", 3, 2],
}


@pytest.mark.parametrize("wrong", WRONG_RECORDS)
def test_a_record_that_is_none_is_named(wrong: str, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "0")
    journal.begin({"d_model": D_MODEL}, {"pooling": "none"})
    rows = {key_of("a"): np.zeros(D_MODEL * 2, np.float32)}
    journal.commit([Entry(1, WRONG_RECORDS[wrong], [key_of("a")])], rows)
    journal.finish({"n_records": 1})
    with pytest.raises(InputError, match="record 1 is damaged"):
        write_embeddings([journal], Kept(), Progress("writing", quiet=True))


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_columns_come_with_their_records(
    block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first record says in which order they stand."""
    monkeypatch.setattr(output, "BLOCK_BYTES", block_bytes)
    store, nan = Kept(), float("nan")
    first, second = {"place": "x", "start": 7, "share": 0.1}, {"start": -(1 << 63), "share": nan, "place": ""}
    journal = journal_with([["p1", 1, 2, first], ["p1", 2, 2, second]], tmp_path / "0")
    write_embeddings([journal], store, Progress("writing", quiet=True))
    found = {name: [cell for block in store.blocks for cell in block.columns[name]] for name in first}
    assert found.pop("share") == pytest.approx([0.1, nan], nan_ok=True)
    assert found == {"place": ["x", ""], "start": [7, -(1 << 63)]}
    assert list(store.blocks[0].columns) == list(first)


WRONG_COLUMNS: dict[str, list[Any]] = {
    "none": [],
    "others": [{"start": 1}],
    "another kind": [{"place": 4}],
    "no object": [["place"]],
    "two": [{"place": "y"}, {}],
    "no cell": [{"place": None}],
}


@pytest.mark.parametrize("wrong", WRONG_COLUMNS)
def test_a_record_of_other_columns_is_named(wrong: str, tmp_path: Path) -> None:
    payloads = [["p1", 1, 2, {"place": "x"}], ["p2", 2, 2, *WRONG_COLUMNS[wrong]]]
    with pytest.raises(InputError, match="record 2 is damaged"):
        write_embeddings([journal_with(payloads, tmp_path / "0")], Kept(), Progress("writing", quiet=True))
