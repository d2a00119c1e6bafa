"""Opening stores, sound and damaged ones."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import PARTS, open_store, store_files
from safetensors.numpy import load_file, save_file

from tests.datasets.store.conftest import ids_of, write_store

Change = Callable[[Path], object]


def test_a_store_gives_back_what_was_written(sequences: list[Any], store: Path) -> None:
    opened = open_store(store, verify=True)
    assert [found.tolist() for found in opened.tokens] == [sequence.tolist() for sequence in sequences]
    assert list(opened.ids) == ids_of(sequences)
    assert opened.ids[-1] == "séq29"
    assert opened.ids[3:5] == ["séq3", "séq4"]
    assert len(opened) == len(opened.hashes) == 30
    assert opened.record.notices == {"sequences upper-cased": 3}
    assert opened.record.alphabet.tokens == tuple("abcdefghij")


def test_equal_sequences_and_no_others_have_equal_hashes(store: Path) -> None:
    hashes = open_store(store).hashes
    assert hashes[2] == hashes[7]
    assert len(set(hashes.tolist())) == 29


def test_the_split_and_its_pools_are_numbers_of_sequences(store: Path) -> None:
    opened = open_store(store)
    assert tuple(opened.split) == PARTS
    assert opened.split["test"].tolist() == [0, 5, 10, 15, 20, 25]
    assert opened.record.split.counts == {"train": 12, "validation": 6, "test": 6, "removed": 6}
    pools = opened.pools("test")
    assert [list(pool) for pool in pools] == [[0, 5, 10], [15, 20, 25]]
    assert pools[1][np.array([2, 0])].tolist() == [25, 15]
    assert np.asarray(pools[1]).tolist() == [15, 20, 25]


def test_the_store_is_found_again_by_another_process(store: Path, tmp_path: Path, python_run: Any) -> None:
    opened = open_store(store)
    (tmp_path / "pickled").write_bytes(pickle.dumps(opened))
    assert (tmp_path / "pickled").stat().st_size < 300
    program = "import pickle, sys; s = pickle.load(open(sys.argv[1], 'rb')); print(s.tokens[3].tolist())"
    result = python_run("-c", program, str(tmp_path / "pickled"))
    assert result.stdout.strip() == str(opened.tokens[3].tolist()), result.stderr


def test_a_mixture_of_a_store_is_pickled_as_places_in_it(store: Path) -> None:
    mixture = Mixture(open_store(store).pools("train"), [1, 2], seed=0)
    pickled = pickle.dumps(mixture)
    assert len(pickled) < 1000
    assert b"numpy" not in pickled
    assert pickle.loads(pickled).draw(3, 20).tolist() == mixture.draw(3, 20).tolist()


def test_the_files_of_a_store_are_all_that_it_holds(store: Path) -> None:
    assert sorted(store_files(store)) == sorted(store.iterdir())


def test_a_store_of_version_1_is_read_as_one_of_proteins(store: Path) -> None:
    """It names the tokens around a protein and not their numbers, and counts no residues."""
    record = json.loads((store / "store.json").read_text()) | {"version": 1}
    record["alphabet"] = {"name": "ESM", "tokens": ["<cls>", "<pad>", "<eos>", "<unk>", "L", "A", "X"]}
    for source in record["sources"]:
        del source["n_units"]
    (store / "store.json").write_text(json.dumps(record))
    found = open_store(store).record
    alphabet = found.alphabet
    assert (alphabet.modality, alphabet.units) == ("protein", "residues")
    assert (alphabet.before, alphabet.behind, alphabet.scored) == ((0,), (2,), (4, 5))
    assert found.n_units == found.n_tokens // 2 * 2 - 2 * found.n_sequences


def test_an_empty_store_can_be_opened(tmp_path: Path) -> None:
    """One that holds a single sequence without a token, the least that there can be."""
    opened = open_store(write_store(tmp_path / "s", [np.empty(0, np.uint8)], n_sources=1), verify=True)
    assert (len(opened), opened.tokens[0].tolist()) == (1, [])


def cut(name: str, n_bytes: int) -> Change:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-n_bytes])


def flip(name: str) -> Change:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return change


def rewrite(name: str, tensor: str, values: np.ndarray[Any, Any]) -> Change:
    """With other values in one tensor, in a file that is itself in order."""
    return lambda folder: save_file(
        {**load_file(folder / name), tensor: values}, folder / name, metadata=None
    )


def edit(**changed: Any) -> Change:
    def change(folder: Path) -> None:
        record = json.loads((folder / "store.json").read_text())
        (folder / "store.json").write_text(json.dumps({**record, **changed}))

    return change


def unlink(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def write(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


INTS = np.arange(31, dtype=np.int64)

WRONG: dict[str, tuple[Change, str, str]] = {  # what happened to it, what is named, what is said
    "no record": (unlink("store.json"), "", "no store.json"),
    "no JSON": (write("store.json", b"{"), "store.json", "no JSON"),
    "another JSON": (write("store.json", b"[]"), "store.json", "no JSON object"),
    "another record": (write("store.json", b"{}"), "store.json", "describes None"),
    "a newer version": (
        edit(version=3),
        "store.json",
        "version 3 of the format, but this biofm reads versions 1 and 2",
    ),
    "a record that lacks something": (edit(split={}), "store.json", "damaged"),
    "a record that has something else": (edit(colour="red"), "store.json", "damaged"),
    "a record of no sources": (edit(sources=[]), "store.json", "sources"),
    "an alphabet that speaks of other tokens": (
        edit(alphabet={"name": "it", "tokens": ["a"], "before": [1]}),
        "store.json",
        "that it lacks",
    ),
    "a store of version 1 without an alphabet": (edit(version=1, alphabet=3), "store.json", "no alphabet"),
    "a store of version 1 without sources": (edit(version=1, sources=[3]), "store.json", "no sources"),
    "a record of other files": (edit(files={}), "store.json", "names other files"),
    "another number of sequences": (edit(n_tokens=3), "tokens.safetensors", "says 3"),
    "a missing file": (unlink("tokens.safetensors"), "tokens.safetensors", "missing"),
    "truncated tokens": (cut("tokens.safetensors", 10), "tokens.safetensors", "10 bytes too short"),
    "a truncated split": (cut("split.safetensors", 8), "split.safetensors", "8 bytes too short"),
    "a header of nonsense": (write("ids.safetensors", b"x" * 99), "ids.safetensors", "header"),
    "another tensor": (
        lambda folder: save_file({"y": INTS}, folder / "offsets.safetensors"),
        "offsets.safetensors",
        "holds y (int64) instead of offsets",
    ),
    "tokens of another dtype": (
        lambda folder: save_file({"tokens": INTS}, folder / "tokens.safetensors"),
        "tokens.safetensors",
        "tokens (int64)",
    ),
    "no offsets": (rewrite("offsets.safetensors", "offsets", INTS[:0]), "offsets.safetensors", "missing"),
    "offsets that end elsewhere": (
        rewrite("offsets.safetensors", "offsets", INTS),
        "offsets.safetensors",
        "the last offset is 30",
    ),
    "names that end elsewhere": (
        rewrite("id_offsets.safetensors", "id_offsets", INTS),
        "id_offsets.safetensors",
        "the last offset is 30",
    ),
    "too few hashes": (
        rewrite("hashes.safetensors", "hashes", np.zeros(29, np.uint64)),
        "hashes.safetensors",
        "its number of sequences is 29, but store.json says 30",
    ),
    "a split beyond the end": (
        lambda folder: save_file(dict.fromkeys(PARTS, np.array([3, 30])), folder / "split.safetensors"),
        "split.safetensors",
        "sequence number 30, but the store has 30",
    ),
    "a split before the beginning": (
        lambda folder: save_file(dict.fromkeys(PARTS, np.array([-1, 3])), folder / "split.safetensors"),
        "split.safetensors",
        "sequence number -1",
    ),
    "a split of other parts": (
        lambda folder: save_file({"train": INTS[:2]}, folder / "split.safetensors"),
        "split.safetensors",
        "instead of train, validation, test, removed",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_damaged_store_names_the_file_and_the_fault(wrong: str, store: Path) -> None:
    change, name, message = WRONG[wrong]
    change(store)
    with pytest.raises(DataError) as caught:
        open_store(store)
    assert caught.value.where == str(store / name)
    assert message in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["tokens", "offsets", "ids", "id_offsets", "hashes", "split"])
def test_one_flipped_bit_is_found_by_the_checksum(name: str, store: Path) -> None:
    flip(f"{name}.safetensors")(store)
    with pytest.raises(DataError, match="damaged") as caught:
        open_store(store, verify=True)
    assert caught.value.where == str(store / f"{name}.safetensors")


def test_no_folder_a_file_and_an_unfinished_store_are_no_stores(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nowhere", tmp_path / "file", tmp_path):
        with pytest.raises(DataError, match="this is no store"):
            open_store(path)
    (tmp_path / ".unfinished").mkdir()
    with pytest.raises(DataError, match="--resume"):
        open_store(tmp_path)
