"""A ledger survives the death of those who write to it, and a full disk."""

import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from biofm.core import LedgerError
from biofm.gate import Ledger, ask, ledger_path
from biofm.gate.ledger import segments
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify
from biofm.policy import Request
from tests.conftest import StartProcess

KILLS = Path(__file__).with_name("kills.py")


def test_nothing_is_lost_that_was_acknowledged_by_processes_that_are_killed(
    start_process: StartProcess,
) -> None:
    process = start_process(sys.executable, KILLS, "--rounds", "5", "--seed", "3")
    output, errors = process.communicate()
    assert output, errors
    found = json.loads(output)
    assert found["faults"] == []
    assert found["written"] > 0


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Mount a disk of 256 KiB, on which the ledger lies."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    libc = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "disk"
    folder.mkdir()
    if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, b"size=256k") != 0:
        pytest.skip("this container may mount nothing")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    yield folder
    libc.umount2(os.fsencode(folder), 2)


def test_on_a_full_disk_nothing_is_done_and_the_message_names_the_ledger(
    small_disk: Path, make_request: Callable[..., Request]
) -> None:
    with ask(make_request()):
        pass
    whole = [entry.line for entry in entries_of(ledger_path())]
    with (small_disk / "large").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass

    with pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")
    (small_disk / "large").unlink()

    assert str(caught.value).startswith(f"{ledger_path()}: the disk of the ledger is full or faulty (")
    assert [entry.line for entry in entries_of(ledger_path())] == whole
    assert verify(ledger_path()).findings == ()
    with ask(make_request()):
        pass


class CrashError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("place", ["before the name", "after the name", "before the commit"])
def test_a_crash_while_a_segment_is_archived_loses_nothing_and_repeats_cleanly(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FEWEST_ENTRIES", 10)
    monkeypatch.setattr(segments, "MOST_ENTRIES", 10)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    for number in range(9):
        with ledger.writing() as book:
            book.append("confinement", {"number": number})
    whole = [entry.line for entry in entries_of(ledger.path)]

    def crash(*_: object) -> None:
        raise CrashError

    def write() -> None:
        with ledger.writing() as book:
            book.append("confinement", {"number": 9})
            crash()

    with monkeypatch.context() as context:
        if place == "before the name":
            context.setattr(Path, "replace", crash)
        elif place == "after the name":
            context.setattr(segments, "sync_folder", crash)
        with pytest.raises(CrashError):
            write()
    assert [entry.line for entry in entries_of(ledger.path)] == whole
    assert verify(ledger.path).findings == ()

    with ledger.writing() as book:
        book.append("confinement", {"number": 9})
    lines = [entry.line for entry in entries_of(ledger.path)]
    assert lines[:10] == whole
    assert len(lines) == 12  # the beginning of the segment, and the new entry
    assert [path.name for path in (tmp_path / "ledger-archive").iterdir()] == ["000001.jsonl"]
    assert verify(ledger.path).findings == ()
