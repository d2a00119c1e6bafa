"""Writing stores: the same bytes however it is cut, interrupted and gone on with."""

import os
import shutil
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.store import StoreWriter, open_store

from tests.datasets.store.conftest import append, conclude, content_of, write_store
from tests.datasets.store.killing import run_until

WORK = {"of": "a test"}


@pytest.mark.parametrize("block", [1, 2, 30])
def test_the_blocks_leave_no_trace(block: int, store: Path, sequences: list[Any], tmp_path: Path) -> None:
    again = write_store(tmp_path / "again", sequences, block=block)
    assert content_of(again) == content_of(store)
    assert [path.name for path in again.iterdir() if path.is_dir()] == []


def begin(folder: Path, sequences: list[Any], n: int) -> None:
    """A run that was killed after so many sequences were committed, and more were not."""
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), StoreWriter(folder, "U8", WORK) as writer:  # noqa: PT012
        append(writer, sequences[:n])
        writer.commit({"n_read": n})
        append(writer, sequences, first=n)
        raise KeyboardInterrupt


@pytest.mark.parametrize("n", [1, 7, 29, 30])
def test_an_interrupted_run_goes_on_from_its_last_commit(
    n: int, store: Path, sequences: list[Any], tmp_path: Path
) -> None:
    folder = tmp_path / "again"
    begin(folder, sequences, n)
    with StoreWriter(folder, "U8", WORK, resume=True) as writer:
        assert (writer.n_sequences, writer.state) == (n, {"n_read": n})
        append(writer, sequences, first=n)
        writer.commit({"n_read": 30})
        conclude(writer)
    assert content_of(folder) == content_of(store)


def test_tokens_of_two_bytes(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, "U16", WORK) as writer:
        writer.append(["a", "b"], np.array([1, 60_000, 7], np.uint16), np.array([2, 1]))
        writer.commit({})
        writer.seal()
        assert writer.files["tokens.safetensors"].n_bytes == 6


def test_keys_are_kept_until_the_store_is_published(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, "U8", WORK, has_keys=True) as writer:
        writer.append(["a", "b"], np.array([1, 2], np.uint8), np.array([1, 1]), np.array([7, 8], np.uint64))
        writer.commit({})
        writer.seal()
        assert (writer.work / "keys.safetensors").exists()
        assert "keys.safetensors" not in writer.files
        conclude(writer, n_sources=1)
    assert not list(tmp_path.glob("**/keys*"))


def test_a_store_stays_until_the_new_one_is_whole(store: Path, sequences: list[Any], tmp_path: Path) -> None:
    before = content_of(store)
    with StoreWriter(store, "U8", WORK) as writer:
        append(writer, sequences[:20])
        writer.commit({})
        assert before.items() <= content_of(store).items()
        conclude(writer)
    assert len(open_store(store, verify=True)) == 20


@pytest.mark.parametrize("n_commits", [0, 1])
def test_a_fault_before_the_second_commit_leaves_nothing(
    n_commits: int, tmp_path: Path, sequences: list[Any]
) -> None:
    with pytest.raises(ValueError, match="bad"), StoreWriter(tmp_path, "U8", WORK) as writer:  # noqa: PT012
        append(writer, sequences)
        if n_commits:
            writer.commit({})
        raise ValueError("bad")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_after_two_commits_says_what_is_kept(tmp_path: Path, sequences: list[Any]) -> None:
    with pytest.raises(ValueError, match="bad") as caught, StoreWriter(tmp_path, "U8", WORK) as writer:  # noqa: PT012
        append(writer, sequences)
        writer.commit({})
        writer.commit({})
        raise ValueError("bad")
    (note,) = caught.value.__notes__
    assert note.startswith("30 sequences done and kept: repeat the command with --resume")


def damage(name: str) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / ".unfinished" / name, 4097)


WRONG: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "not asked to resume": (
        lambda folder: None,
        {},
        r"there is an unfinished store here \(30 sequences done\)",
    ),
    "another fingerprint": (
        lambda folder: None,
        {"resume": True, "fingerprint": {"of": "b", "seed": 1}},
        "had other settings: of was a test and is now b, seed was None and is now 1",
    ),
    "truncated tokens": (damage("tokens.safetensors"), {"resume": True}, "tokens.safetensors is not what"),
    "missing ids": (
        lambda folder: (folder / ".unfinished" / "ids.safetensors").unlink(),
        {"resume": True},
        "ids.safetensors is not what",
    ),
    "damaged progress": (
        lambda folder: (folder / ".unfinished" / "progress.json").write_text("{"),
        {"resume": True},
        "the unfinished store is damaged",
    ),
    "progress nested too deep": (
        lambda folder: (folder / ".unfinished" / "progress.json").write_text("[" * 100_000),
        {"resume": True},
        "the unfinished store is damaged",
    ),
    "progress of another type": (
        lambda folder: (folder / ".unfinished" / "progress.json").write_text("[1]"),
        {"resume": True},
        "the unfinished store is damaged",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_unfinished_work_that_cannot_be_gone_on_with_is_named_and_stays(
    wrong: str, tmp_path: Path, sequences: list[Any]
) -> None:
    change, options, message = WRONG[wrong]
    folder = tmp_path / "store"
    begin(folder, sequences, 30)
    change(folder)
    before = content_of(folder / ".unfinished")
    with pytest.raises(DataError, match=message) as caught:
        StoreWriter(folder, "U8", options.pop("fingerprint", WORK), **options)
    assert "--overwrite" in caught.value.remedy
    assert content_of(folder / ".unfinished") == before


def test_unfinished_work_can_be_given_up(tmp_path: Path, sequences: list[Any], store: Path) -> None:
    folder = tmp_path / "again"
    begin(folder, sequences, 30)
    with StoreWriter(folder, "U8", WORK, anew=True) as writer:
        assert (writer.n_sequences, writer.state) == (0, {})
        append(writer, sequences)
        writer.commit({})
        conclude(writer)
    assert content_of(folder) == content_of(store)


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_two_processes_do_not_write_one_store(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path, "U8", WORK),
        pytest.raises(DataError, match="another process is writing this store"),
    ):
        StoreWriter(tmp_path, "U8", WORK, anew=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_run_killed_at_any_change_of_its_state_gives_the_same_bytes(
    store: Path, sequences: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real processes, killed at every sync and every rename, one after the other, over an older store. What
    looks like a store is one, the older or the new.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # slow; it guards against more than kills
    expected, older = content_of(store), write_store(tmp_path / "older", sequences[::-1])
    for moment in count():
        folder = tmp_path / f"again-{moment}"
        shutil.copytree(older, folder)
        status = run_until(moment, lambda folder=folder: resume(folder, sequences))  # type: ignore[misc]
        assert status in (0, -signal.SIGKILL)
        if status == 0:
            break
        if (folder / "store.json").exists():
            open_store(folder, verify=True)
        resume(folder, sequences)
        assert content_of(folder) == expected
        assert not (folder / ".unfinished").exists()
    assert moment > 30


def resume(folder: Path, sequences: list[Any]) -> None:
    with StoreWriter(folder, "U8", WORK, resume=True) as writer:
        if not writer.is_sealed:
            for n in (10, 20, 30):
                append(writer, sequences[:n], first=writer.n_sequences)
                writer.commit({"n_read": n})
        conclude(writer)
