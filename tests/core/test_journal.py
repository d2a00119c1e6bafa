"""A journal holds whole chunks of work in order, and nothing is computed twice, whatever ends the process."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biofm.core import InputError, OutputError
from biofm.core.journal import Entry, Journal, key_of

FINGERPRINT = {"sha256": "abc", "window": None, "tokens_per_batch": 64}
PROVENANCE = {"model": "protein-nano"}
PROTEINS = ["MKT", "AYI", "MKT", "GG", "MVLS", "GG", "AYI"]
CHUNK = 2


def identity(protein: str) -> bytes:
    return protein.encode()


def row_of(protein: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((len(protein), 2), len(protein), np.float32)


def work(journal: Journal, proteins: list[str] = PROTEINS, stop: int = 99) -> Journal:
    """Do the remaining work chunk by chunk, as a verb does, but at most ``stop`` chunks of it."""
    journal.begin(FINGERPRINT, PROVENANCE)
    todo = list(journal.remaining(proteins, identity, "in.fasta"))
    for start in range(0, len(todo), CHUNK)[:stop]:
        chunk = todo[start : start + CHUNK]
        keys = {key_of(protein): protein for protein in chunk}
        new = {key: row_of(keys[key]) for key in keys.keys() - journal.known(keys)}
        first = journal.n_done + 1
        entries = [
            Entry(first + i, [protein, 0.1], [key_of(protein)], identity(protein))
            for i, protein in enumerate(chunk)
        ]
        journal.commit(entries, new, {"computed": len(new)})
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def test_records_come_back_in_order_with_their_rows_computed_once(path: Path) -> None:
    journal = work(Journal(path))

    entries = list(journal.entries())

    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.payload for entry in entries] == [[protein, 0.1] for protein in PROTEINS]
    for entry, protein in zip(entries, PROTEINS, strict=True):
        np.testing.assert_array_equal(journal.row(entry.keys[0]).reshape(-1, 2), row_of(protein))
    assert (journal.n_done, journal.n_rows) == (7, 4)
    assert journal.counts == {"computed": 4}


@pytest.mark.parametrize("n_chunks", [0, 1, 2, 3, 4])
def test_work_goes_on_where_it_stopped_and_is_the_same(n_chunks: int, tmp_path: Path) -> None:
    whole = work(Journal(tmp_path / "whole"))
    work(Journal(tmp_path / "parts"), stop=n_chunks).close()

    resumed = Journal(tmp_path / "parts")
    assert resumed.n_done == min(len(PROTEINS), CHUNK * n_chunks)
    work(resumed)

    assert list(resumed.entries()) == list(whole.entries())
    assert (resumed.n_rows, resumed.counts) == (whole.n_rows, whole.counts)


@pytest.mark.parametrize(
    "changed", [["MKT", "AYL", *PROTEINS[2:]], ["MKT"], [], ["AYI", "MKT"], ["MKTA", "YI"], ["MKT", "MKT"]]
)
def test_an_input_whose_beginning_has_changed_is_an_error(changed: list[str], path: Path) -> None:
    work(Journal(path), stop=1).close()

    with pytest.raises(InputError) as fault:
        work(Journal(path), changed)

    assert str(fault.value) == (
        "in.fasta: the input no longer begins with the 2 records of the unfinished run. "
        "Restore the input, or pass --overwrite without --resume to start again"
    )


def test_what_follows_the_work_done_may_change(path: Path) -> None:
    work(Journal(path), stop=1).close()

    journal = work(Journal(path), [*PROTEINS[:2], "WWW"])

    assert [entry.payload[0] for entry in journal.entries()] == [*PROTEINS[:2], "WWW"]


def test_work_begun_otherwise_is_an_error_that_names_the_difference(path: Path) -> None:
    work(Journal(path), stop=1).close()
    journal = Journal(path)

    with pytest.raises(OutputError) as fault:
        journal.begin(FINGERPRINT | {"tokens_per_batch": 32, "shard": "1/2"}, PROVENANCE)

    changes = "tokens_per_batch was 64 and is now 32, shard was None and is now 1/2. Repeat"
    assert f"had other settings: {changes}" in str(fault.value)
    journal.begin(FINGERPRINT, {"model": "another name of the same weights"})
    assert journal.provenance == PROVENANCE


def test_without_work_in_it_a_journal_is_begun_otherwise(path: Path) -> None:
    work(Journal(path), stop=0).close()
    journal = Journal(path)

    journal.begin({"sha256": "other"}, PROVENANCE)

    assert journal.fingerprint == {"sha256": "other"}


def test_a_chunk_is_committed_whole_or_not_at_all(path: Path) -> None:
    journal = work(Journal(path), stop=1)
    before = (journal.n_done, journal.n_rows, journal.counts)

    no_json = Entry(4, [object()])
    with pytest.raises(TypeError):
        journal.commit([Entry(3, ["new"]), no_json], {key_of("new"): row_of("new")}, {"computed": 1})

    assert (journal.n_done, journal.n_rows, journal.counts) == before
    assert [entry.payload for entry in work(journal).entries()] == [[protein, 0.1] for protein in PROTEINS]


def test_nothing_can_be_done_twice(path: Path) -> None:
    journal = work(Journal(path))

    with pytest.raises(sqlite3.IntegrityError):
        journal.commit([Entry(1, ["again"])], {})
    with pytest.raises(sqlite3.IntegrityError):
        journal.commit([Entry(8, ["again"])], {key_of("MKT"): row_of("MKT")})

    assert journal.n_done == 7


def test_how_it_finished_is_kept_until_more_is_done(path: Path) -> None:
    journal = work(Journal(path))
    assert journal.finished is None
    journal.finish({"n_records": 7})
    journal.close()

    again = Journal(path)
    assert again.finished == {"n_records": 7}
    work(again, [*PROTEINS, "WWW"])
    assert again.finished is None


def test_a_second_process_hears_that_another_is_at_work(path: Path) -> None:
    journal = work(Journal(path), stop=1)
    program = "import sys; from pathlib import Path; from biofm.core.journal import Journal\n"
    program += "Journal(Path(sys.argv[1]), anew=sys.argv[2] == 'anew')"

    for how in ("resumed", "anew"):
        command = [sys.executable, "-c", program, str(path), how]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert "another process is working on this output. Wait until it ends" in run.stderr

    assert len(list(work(journal).entries())) == 7


KILLED = """
import os, sys
from pathlib import Path
from biofm.core.journal import Entry, Journal, key_of
import numpy as np

journal = Journal(Path(sys.argv[1]))
journal.begin({"a": 1}, {})
print("begun", flush=True)
number = journal.n_done
while True:
    rows = {key_of(str(number + i)): np.full(40_000, number + i, np.float32) for i in range(1, 6)}
    journal.commit([Entry(number + i, [number + i], [key_of(str(number + i))]) for i in range(1, 6)], rows)
    number += 5
    print(number, flush=True)
"""


def test_a_process_killed_at_any_moment_leaves_whole_chunks(path: Path) -> None:
    generator = np.random.default_rng(20)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = 0
    for _ in range(6):
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "begun\n"
            for _ in range(generator.integers(1, 8)):
                done = int(run.stdout.readline())
            time.sleep(generator.random() * 0.02)  # It is then somewhere within another commit.
            run.send_signal(signal.SIGKILL)
        journal = Journal(path)
        assert journal.n_done >= done  # Nothing that was reported as done is lost.
        assert journal.n_done % 5 == 0
        assert journal.n_rows == journal.n_done
        numbers = [entry.number for entry in journal.entries()]
        assert numbers == list(range(1, journal.n_done + 1))
        assert all(journal.row(key_of(str(n)))[[0, -1]].tolist() == [n, n] for n in numbers)
        journal.close()


PAGE = 16384


@pytest.mark.parametrize(
    "damage",
    [slice(0, 100), slice(PAGE, 2 * PAGE), slice(12 * PAGE, 13 * PAGE), slice(20 * PAGE, None)],
    ids=["header", "state", "value", "cut short"],
)
def test_a_damaged_journal_is_one_clear_error_and_can_be_begun_again(damage: slice, path: Path) -> None:
    journal = Journal(path)
    journal.begin(FINGERPRINT, PROVENANCE)
    journal.commit([Entry(1, ["big"], [key_of("big")])], {key_of("big"): np.ones(100_000, np.float32)})
    journal.close()
    content = bytearray(path.read_bytes())
    content[damage] = b"" if damage.stop is None else b"#" * (damage.stop - damage.start)
    path.write_bytes(content)

    with pytest.raises(OutputError, match=r"is damaged .* Pass --overwrite without --resume to start again"):
        read_all(path)
    assert work(Journal(path, anew=True)).n_done == 7


def read_all(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.begin(FINGERPRINT, PROVENANCE)
        for entry in journal.entries():
            journal.row(entry.keys[0])


def test_a_damaged_bit_is_an_error_or_changes_nothing(path: Path) -> None:
    """Check this for a shard that ``merge`` reads, and for unfinished work."""
    journal = work(Journal(path))
    journal.finish({"n_records": len(PROTEINS)})
    journal.close()
    content, whole = path.read_bytes(), everything(path, read_only=True)
    places = [place for place, byte in enumerate(content) if byte]
    generator = random.Random(20)
    messages = []
    for place in generator.sample(places, 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        for read_only, fault in ((True, InputError), (False, OutputError)):
            path.write_bytes(damaged)
            try:
                assert everything(path, read_only=read_only) == whole, (place, damaged[place])
            except fault as error:
                messages.append(str(error))
    assert len(messages) > 100
    assert all("damaged" in message for message in messages)


def everything(path: Path, *, read_only: bool) -> tuple[object, ...]:
    with closing(Journal(path, read_only=read_only)) as journal:
        records = [(entry, journal.row(entry.keys[0]).tobytes()) for entry in journal.entries()]
        how = journal.fingerprint, journal.provenance, journal.finished
        return records, how, journal.n_done, journal.counts


def test_a_full_disk_is_one_clear_error_and_loses_nothing(path: Path, full_disk: None) -> None:
    journal = work(Journal(path), stop=2)

    with pytest.raises(OutputError) as fault:
        journal.commit([Entry(5, ["big"])], {key_of("big"): np.zeros(1 << 19, np.float32)})

    assert str(fault.value).startswith(f"{path.parent}: the unfinished run cannot be written (")
    assert "Free some space there" in str(fault.value)
    journal.close()
    assert len(list(work(Journal(path)).entries())) == 7


def test_a_folder_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written .unable to open database file"):
        Journal(tmp_path / "nowhere" / "journal.sqlite3")


@pytest.mark.parametrize("content", [None, b"", b">a\nMKT\n" * 9999])
def test_what_is_no_journal_cannot_be_read_as_one(content: bytes | None, path: Path) -> None:
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError, match="this file is not a shard of a run, or it is damaged"):
        Journal(path, read_only=True)


def test_a_finished_journal_can_be_read_by_several_and_is_not_touched(path: Path) -> None:
    work(Journal(path)).close()
    before = path.read_bytes()

    first, second = Journal(path, read_only=True), Journal(path, read_only=True)

    assert list(first.entries()) == list(second.entries())
    assert [file.name for file in path.parent.iterdir() if file.stat().st_size] == [path.name]
    assert path.read_bytes() == before


def test_keys_tell_their_parts_apart() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of("abc", "")}) == 4
    assert key_of("ab", "c") == key_of("ab", "c")
    assert len(key_of("abc")) == 16


def test_a_signal_just_after_the_opening_leaves_no_lock_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Journal._faults

    @contextmanager
    def interrupted(journal: Journal) -> Iterator[None]:
        with plain(journal):
            yield
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "_faults", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:  # Its traceback keeps the journal alive.
        Journal(tmp_path / "journal")
    monkeypatch.setattr(Journal, "_faults", plain)
    Journal(tmp_path / "journal").close()
    assert caught.traceback


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


ENDLESS = (
    "ALTER TABLE records RENAME TO kept",
    """CREATE VIEW records AS WITH RECURSIVE it(number, payload, keys, crc32) AS
        (SELECT 1, x'', x'', 0 UNION ALL SELECT number + 1, x'', x'', 0 FROM it) SELECT * FROM it""",
)
NUMBERLESS = (
    "DROP TABLE records",
    "CREATE TABLE records (number INTEGER, payload BLOB, keys BLOB, crc32 INTEGER)",
    "INSERT INTO records VALUES (NULL, x'5B5D', x'', 223132457)",
)
TRIGGERED = ("CREATE TRIGGER emptied AFTER INSERT ON rows BEGIN DELETE FROM records; END",)


@pytest.mark.parametrize("statements", [ENDLESS, NUMBERLESS, TRIGGERED])
def test_a_journal_with_other_tables_than_its_own_is_damaged(statements: tuple[str, ...], path: Path) -> None:
    work(Journal(path)).close()
    change(path, *statements)
    with pytest.raises(InputError, match="its tables are not those of a journal"):
        Journal(path, read_only=True)
    with pytest.raises(OutputError, match="its tables are not those of a journal"):
        Journal(path)


@pytest.mark.parametrize("provenance", [{}, {"model": 1}, {**PROVENANCE, "more": 1}])
def test_work_that_does_not_say_how_it_was_made_is_damaged(provenance: dict[str, Any], path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.begin(FINGERPRINT, provenance)
        journal.commit([Entry(1, [], [], b"")], {})
        with pytest.raises(OutputError, match="provenance are missing, unknown or of a wrong type: mo"):
            journal.begin(FINGERPRINT, PROVENANCE)


def test_a_row_of_another_length_than_it_should_have_is_damaged(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.begin(FINGERPRINT, PROVENANCE)
        journal.commit([], {key_of("a"): np.zeros(3, np.float32)})
        assert journal.row(key_of("a"), 3).size == 3
        with pytest.raises(OutputError, match="a row has 12 bytes instead of 4 x 2"):
            journal.row(key_of("a"), 2)
