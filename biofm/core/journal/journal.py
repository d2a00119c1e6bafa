"""The journal is the record of a run's finished work on the disk.

``--resume`` continues from it, and ``merge`` joins the journals of shards. It is a SQLite database. Each
transaction commits a chunk of work, so that it holds whole chunks however a process ends. It has two tables:

- **rows** are float32 arrays. Their key says what was computed, so that equal sequences are computed once.
- **records** are those of the input in order, each with what the output says about it and its rows' keys.

    journal = Journal(path)                                   # It is locked until close.
    journal.begin(fingerprint, provenance)                    # OutputError: another run's work is there.
    todo = journal.remaining(proteins, identity, "in.fasta")  # InputError: the input has changed.
    for chunk in chunks_of(todo):                             # Chunks depend on the input, not on the clock.
        new = compute(keys_of(chunk) - journal.known(keys_of(chunk)))
        journal.commit([Entry(...) for protein in chunk], new, {"tokens": n_tokens})
    journal.finish({"n_records": n})
    for entry in journal.entries():
        journal.row(entry.keys[0])

Resumed work is bit for bit the same if the chunks and the known keys depend on the input alone. A fault of
the disk is an OutputError; a fault of a journal that is opened for reading is an InputError.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from biofm_datasets.documents import from_json, parse_json
from biofm_datasets.text import format_count

from biofm.core.errors import InputError, OutputError
from biofm.core.journal.database import (
    KEY_BYTES,
    check_sum,
    damage,
    feed,
    is_damaged,
    open_journal,
    open_to_read,
    remove,
    sum_of,
    transaction,
)
from biofm.core.provenance import LABELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

FLOAT_BYTES = 4
KEPT = "Free some space there and check its permissions; finished work is kept for --resume"

Fields = Mapping[str, str | int | float | bool | None]

ADD_ROW = "INSERT INTO rows (key, value, crc32) VALUES (?, ?, ?)"
ADD_RECORD = "INSERT INTO records VALUES (?, ?, ?, ?)"
HAS_ROW = "SELECT 1 FROM rows WHERE key = ?"
ROW = "SELECT value, crc32 FROM rows WHERE key = ?"
RECORDS = "SELECT number, payload, keys, crc32 FROM records ORDER BY number"
STATE = "SELECT value, crc32 FROM state"
SET_STATE = "INSERT OR REPLACE INTO state VALUES (1, ?, ?)"


@dataclass(frozen=True, slots=True)
class Entry:
    """Holds a record of the input that is done.

    Attributes:
        number: Its place in the input, from 1. Numbers ascend, with gaps for the records of other shards.
        payload: What the output says about it, in values that JSON can hold; floats read back exactly.
        keys: The keys of its rows, which other records may share.
        identity: All the bytes that identify the record. They enter a running digest and are not stored: they
            are empty in an entry that is read.
    """

    number: int
    payload: Sequence[Any]
    keys: Sequence[bytes] = ()
    identity: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Holds what the journal says about the work as a whole, which is stored as JSON."""

    fingerprint: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    n_done: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    finished: dict[str, Any] | None = None
    naming: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Journal:
    """Keeps the finished work of a run at ``path``. No other process can open it until ``close``.

    Args:
        path: The file of the journal, which is created if it does not exist.
        anew: Whether to remove an existing journal first, sound or damaged.
        read_only: Whether to open the journal for reading alone. No process may still write it. Any number of
            processes may read it at once.
        remedy: What an error advises if the journal cannot be written.

    Raises:
        OutputError: Another process uses the journal, it is damaged, or it cannot be written.
        InputError: With ``read_only``, the file is not a journal, or it is damaged.
    """

    def __init__(
        self, path: Path, *, anew: bool = False, read_only: bool = False, remedy: str = KEPT
    ) -> None:
        self.path = path
        self._remedy = remedy
        self._is_read_only = read_only
        self._digest = hashlib.blake2b()
        try:
            with self._faults():
                if anew:
                    remove(path)
                self._connection = open_to_read(path) if read_only else open_journal(path)
        except BaseException:
            # After a signal at this point nobody has the journal to close it, and the traceback would keep it
            # open and locked.
            if hasattr(self, "_connection"):
                self._connection.close()
            raise

    @property
    def n_done(self) -> int:
        """How many records are committed."""
        return int(self._state().get("n_done", 0))

    @property
    def n_rows(self) -> int:
        """How many rows are committed."""
        with self._faults():
            (newest,) = self._connection.execute("SELECT max(id) FROM rows").fetchone()
        return newest or 0

    @property
    def counts(self) -> Counter[str]:
        """The sums of the counts that ``commit`` has received."""
        return Counter(self._state().get("counts", {}))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The fingerprint that ``begin`` has stored; empty before ``begin``."""
        return dict(self._state().get("fingerprint", {}))

    @property
    def provenance(self) -> dict[str, Any]:
        """The provenance that ``begin`` has stored; empty before ``begin``."""
        return dict(self._state().get("provenance", {}))

    @property
    def finished(self) -> dict[str, Any] | None:
        """The totals that ``finish`` has stored; None before ``finish``."""
        found: dict[str, Any] | None = self._state().get("finished")
        return found

    @property
    def noted_outputs(self) -> dict[str, tuple[int, ...]]:
        """The identities of the output files that ``note_outputs`` has stored, by role."""
        return dict(self._state().get("naming", {}))

    def begin(self, fingerprint: Fields, provenance: Fields) -> None:
        """Begin the work, or continue it.

        Args:
            fingerprint: Everything that decides the numbers. It must equal the fingerprint of earlier work.
            provenance: How the output is made. The provenance of the first session is kept.

        Raises:
            OutputError: Earlier work has another fingerprint.
        """
        if self.n_done:
            self._check_fingerprint(dict(fingerprint))
            with self._faults():
                _check_kinds(self.provenance, provenance)
            return
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM records LIMIT 1").fetchone():
                raise damage("it holds records, but not how they were made")
            self._set_state({"fingerprint": dict(fingerprint), "provenance": dict(provenance)})

    def remaining(self, items: Iterable[T], identity: Callable[[T], bytes], where: str) -> Iterator[T]:
        """Yield the items that are not done yet.

        The first items, which are done, are read again and compared with the digest of the committed ones.

        Args:
            items: All items of the input, in order.
            identity: A function that returns all the bytes that identify an item.
            where: The name of the input in the message.

        Raises:
            InputError: The first items have changed.
        """
        self._digest, n_done, rest = hashlib.blake2b(), self.n_done, iter(items)
        for item in islice(rest, n_done):
            feed(self._digest, identity(item))
        if n_done and self._digest.hexdigest() != self._state().get("digest"):
            raise InputError(
                f"the input no longer begins with the {format_count(n_done, 'record')} of the unfinished run",
                where=where,
                remedy="Restore the input, or pass --overwrite without --resume to start again",
            )
        yield from rest

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return the keys that already have a row.

        Args:
            keys: The keys to look up.
        """
        with self._faults():
            return {key for key in keys if self._connection.execute(HAS_ROW, (key,)).fetchone()}

    def commit(
        self,
        entries: Sequence[Entry],
        rows: "Mapping[bytes, NDArray[np.float32]]",
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Write a chunk of work to the disk, whole or not at all.

        Args:
            entries: The records of the chunk, in the input's order.
            rows: The new rows by their keys. Their shape is not stored: the caller must know it.
            counts: Numbers that are added to the counts of earlier chunks. None adds nothing.
        """
        digest = self._digest.copy()
        for entry in entries:
            feed(digest, entry.identity)
        with self._transaction() as connection:
            connection.executemany(ADD_ROW, (_stored_row(key, row) for key, row in rows.items()))
            connection.executemany(ADD_RECORD, map(_stored_record, entries))
            done = {
                "n_done": self.n_done + len(entries),
                "digest": digest.hexdigest(),
                "counts": self.counts + Counter(counts or {}),
                "finished": None,
            }
            self._set_state(self._state() | done)
        self._digest = digest

    def finish(self, totals: Mapping[str, Any]) -> None:
        """Store that the whole input is done.

        Args:
            totals: Numbers and texts about the whole run, in values that JSON can hold.
        """
        with self._transaction():
            self._set_state(self._state() | {"finished": dict(totals)})

    def note_outputs(self, files: Mapping[str, Sequence[int]]) -> None:
        """Store the identities of the output files, just before these get their names.

        Args:
            files: The identity of each file, by its role.
        """
        naming = {role: list(identity) for role, identity in files.items()}
        with self._transaction():
            self._set_state(self._state() | {"naming": naming})

    def entries(self) -> Iterator[Entry]:
        """Yield the records that are done, in the order of their numbers."""
        with self._faults():
            for number, payload, keys, crc32 in self._connection.execute(RECORDS):
                check_sum(crc32, str(number).encode(), payload, keys)
                ends = range(KEY_BYTES, len(keys) + 1, KEY_BYTES)
                if len(keys) % KEY_BYTES:
                    raise damage("a key is truncated")
                yield Entry(number, _payload(payload), [keys[end - KEY_BYTES : end] for end in ends])

    def row(self, key: bytes, n_values: int | None = None) -> "NDArray[np.float32]":
        """Return the row of a key as a flat array.

        Args:
            key: A key that is known or stands in an entry.
            n_values: How many values the row must have. None accepts any number.
        """
        import numpy as np  # A worker opens a gate, and with it this module, before numpy may be imported.

        with self._faults():
            found = self._connection.execute(ROW, (key,)).fetchone()
            if found is None:
                raise damage("a row is missing")
            value, crc32 = found
            check_sum(crc32, key, value)
            if len(value) % FLOAT_BYTES or n_values not in (None, len(value) // FLOAT_BYTES):
                n = "a multiple of 4" if n_values is None else f"4 x {n_values}"
                raise damage(f"a row has {len(value)} bytes instead of {n}")
        return np.frombuffer(value, "<f4")

    def close(self) -> None:
        """Close the database and release its lock."""
        self._connection.close()

    def _check_fingerprint(self, now: dict[str, Any]) -> None:
        before = self.fingerprint
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            changes = ", ".join(
                f"{name} was {before.get(name)} and is now {now.get(name)}" for name in differing
            )
            raise OutputError(
                f"the unfinished run had other settings: {changes}",
                where=str(self.path.parent),
                remedy="Repeat the command as it was, or pass --overwrite without --resume to start again",
            )

    def _state(self) -> dict[str, Any]:
        """Return what the journal says about the work as a whole; empty before ``begin``."""
        with self._faults():
            found = self._connection.execute(STATE).fetchone()
            if found is None:
                return {}
            value, crc32 = found
            check_sum(crc32, value)
            try:
                return asdict(from_json(_State, parse_json(value), "the state"))
            except ValueError as error:
                raise damage(str(error)) from error

    def _set_state(self, state: Mapping[str, Any]) -> None:
        value = json.dumps(state).encode()
        self._connection.execute(SET_STATE, (value, sum_of(value)))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._faults(), transaction(self._connection):
            yield self._connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:  # The program gave a record or a row twice, which is its own fault.
            raise
        except UnicodeDecodeError as error:  # SQLite's message about a damaged file may not be UTF-8.
            self._explain(damage(str(error)))
        except (sqlite3.Error, OSError) as error:
            self._explain(error)

    def _explain(self, error: sqlite3.Error | OSError) -> NoReturn:
        if self._is_read_only:
            what = f"this file is not a shard of a run, or it is damaged ({error})"
            raise InputError(
                what, where=str(self.path), remedy="Copy it again, or run that shard again"
            ) from error
        where, what = str(self.path.parent), f"the unfinished run cannot be written ({error})"
        remedy = self._remedy
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            what = "another process is working on this output"
            remedy = "Wait until it ends, or choose another name for the output"
        elif is_damaged(error):
            what = f"the unfinished run in this folder is damaged ({error})"
            remedy = "Pass --overwrite without --resume to start again"
        raise OutputError(what, where=where, remedy=remedy) from error


def _check_kinds(found: Mapping[str, Any], wanted: Fields) -> None:
    """Raise ``damage`` if the fields of a journal's provenance differ from those that a run writes."""
    strange = [
        name
        for name in sorted({*found, *wanted} - {LABELS})
        if name not in found or name not in wanted or type(found[name]) is not type(wanted[name])
    ]
    if strange:
        names = ", ".join(strange)
        raise damage(f"fields of its provenance are missing, unknown or of a wrong type: {names}")


def _payload(text: bytes) -> list[Any]:
    try:
        found: list[Any] = from_json(list, parse_json(text), "a record")
    except ValueError as error:
        raise damage(str(error)) from error
    return found


def _stored_row(key: bytes, row: "NDArray[np.float32]") -> tuple[bytes, bytes, int]:
    assert row.dtype == "float32", row.dtype
    value = row.astype("<f4", copy=False).tobytes()
    return key, value, sum_of(key, value)


def _stored_record(entry: Entry) -> tuple[int, bytes, bytes, int]:
    payload, keys = json.dumps(entry.payload).encode(), b"".join(entry.keys)
    return entry.number, payload, keys, sum_of(str(entry.number).encode(), payload, keys)
