"""The journal: a run's work so far, on the disk. ``--resume`` goes on from it, and ``merge`` takes those of
shards.

It is a SQLite database. Each transaction commits a chunk of work, so that it holds whole chunks however a
process ends. It keeps **rows**, float32 arrays by a key that says what was computed, so that equal sequences
are computed once however far apart they stand; and **records**, the records of the input in their order, each
with what the output says of it and the keys of its rows.

    journal = Journal(path)                                   # locked until close
    journal.begin(fingerprint, provenance)                    # OutputError: the work there is another run's
    todo = journal.remaining(proteins, identity, "in.fasta")  # InputError: the input has changed
    for chunk in chunks_of(todo):                             # cut by the input alone, never by the clock
        new = compute(keys_of(chunk) - journal.known(keys_of(chunk)))
        journal.commit([Entry(...) for protein in chunk], new, {"tokens": n_tokens})
    journal.finish({"n_records": n})
    for entry in journal.entries():
        journal.row(entry.keys[0])

Resumed work is bit for bit the same if the chunks, and the keys that are known, depend on the input alone. A
fault of the disk is an OutputError; a fault of a journal that is opened for reading is an InputError.
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
from typing import Any, NoReturn, TypeVar

import numpy as np
from biofm_datasets.documents import from_json, parse_json
from numpy.typing import NDArray

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

T = TypeVar("T")

FLOAT_BYTES = 4
KEPT = "Free some space there and check its permissions; what is done is kept for --resume"

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
    """A record of the input that is done.

    number: its place in the input, from 1. Numbers ascend, with gaps for the records of other shards.
    payload: what the output says of it, as JSON can hold it; floats come back exactly.
    keys: the keys of its rows, which other records may share.
    identity: all the bytes that identify the record. They go into a running digest, and are empty when read.
    """

    number: int
    payload: Sequence[Any]
    keys: Sequence[bytes] = ()
    identity: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What the journal says of the work as a whole, stored as JSON."""

    fingerprint: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    n_done: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    finished: dict[str, Any] | None = None
    naming: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Journal:
    """The journal at ``path``, made where there is none. No other process can open it until ``close``.

    ``anew``: remove what is there first, sound or damaged.
    ``remedy``: what an error advises where the journal cannot be written.
    ``read_only``: open a journal that nobody writes any more, such as a shard's; any number of processes may
    read it at once.

    Raises:
        OutputError: Another process is at work on it, it is damaged, or it cannot be written.
        InputError: With ``read_only``: it is no journal, or it is damaged.
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
            # A signal that comes just now leaves no journal that anyone could close, and its traceback would
            # keep it open and locked.
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
        """The sums of the counts that were given to ``commit``."""
        return Counter(self._state().get("counts", {}))

    @property
    def fingerprint(self) -> dict[str, Any]:
        return dict(self._state().get("fingerprint", {}))

    @property
    def provenance(self) -> dict[str, Any]:
        return dict(self._state().get("provenance", {}))

    @property
    def finished(self) -> dict[str, Any] | None:
        """The totals that were given to ``finish``; None before."""
        found: dict[str, Any] | None = self._state().get("finished")
        return found

    @property
    def noted_outputs(self) -> dict[str, tuple[int, ...]]:
        """The identities of the output files that ``note_outputs`` noted, by role; empty before."""
        return dict(self._state().get("naming", {}))

    def begin(self, fingerprint: Fields, provenance: Fields) -> None:
        """Begin the work, or go on with it.

        ``fingerprint`` is all that decides the numbers: it must equal that of the work already there.
        ``provenance`` is for the output; that of the first session is kept.

        Raises OutputError: the work there has another fingerprint.
        """
        if self.n_done:
            self._check_fingerprint(dict(fingerprint))
            with self._faults():
                _check_kinds(self.provenance, provenance)
            return
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM records LIMIT 1").fetchone():
                raise damage("there are records, and nothing that says how they were made")
            self._set_state({"fingerprint": dict(fingerprint), "provenance": dict(provenance)})

    def remaining(self, items: Iterable[T], identity: Callable[[T], bytes], where: str) -> Iterator[T]:
        """Yield the items that are not done yet. The first items, which are done, are read again and compared
        with the digest of what was committed.

        Raises InputError: the first items have changed.
        """
        self._digest, n_done, rest = hashlib.blake2b(), self.n_done, iter(items)
        for item in islice(rest, n_done):
            feed(self._digest, identity(item))
        if n_done and self._digest.hexdigest() != self._state().get("digest"):
            raise InputError(
                f"the first {n_done:,} records are not those of the unfinished run",
                where=where,
                remedy="Give the input as it was, or pass --overwrite to begin again",
            )
        yield from rest

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return those of the keys that already have a row."""
        with self._faults():
            return {key for key in keys if self._connection.execute(HAS_ROW, (key,)).fetchone()}

    def commit(
        self,
        entries: Sequence[Entry],
        rows: Mapping[bytes, NDArray[np.float32]],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Write a chunk of work to the disk, whole or not at all. ``rows`` are new rows; the caller has to
        know their shape, which is not kept. ``counts`` are added to those of earlier chunks.
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
        """Note that all of the input is done, with its totals."""
        with self._transaction():
            self._set_state(self._state() | {"finished": dict(totals)})

    def note_outputs(self, files: Mapping[str, Sequence[int]]) -> None:
        """Note the identities of the output files, by role, just before they get their names."""
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
                    raise damage("a key is cut off")
                yield Entry(number, _payload(payload), [keys[end - KEY_BYTES : end] for end in ends])

    def row(self, key: bytes, n_values: int | None = None) -> NDArray[np.float32]:
        """Return the row of this key as a flat array, of ``n_values`` if that is given. Every key that is
        known or in an entry has a row.
        """
        with self._faults():
            found = self._connection.execute(ROW, (key,)).fetchone()
            if found is None:
                raise damage("a row is missing")
            value, crc32 = found
            check_sum(crc32, key, value)
            if len(value) % FLOAT_BYTES or n_values not in (None, len(value) // FLOAT_BYTES):
                n = "any number" if n_values is None else n_values
                raise damage(f"a row has {len(value)} bytes, which are not {n} of 4")
        return np.frombuffer(value, "<f4")

    def close(self) -> None:
        self._connection.close()

    def _check_fingerprint(self, now: dict[str, Any]) -> None:
        before = self.fingerprint
        differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differing:
            changes = ", ".join(f"{name} {before.get(name)}, now {now.get(name)}" for name in differing)
            raise OutputError(
                f"the unfinished run was begun otherwise: {changes}",
                where=str(self.path.parent),
                remedy="Repeat the command as it was, or pass --overwrite without --resume to begin again",
            )

    def _state(self) -> dict[str, Any]:
        """Return what the journal says of the work as a whole; empty before ``begin``."""
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
        except sqlite3.IntegrityError:  # a record or a row given twice: a fault of the program
            raise
        except UnicodeDecodeError as error:  # of what SQLite says of a file that is damaged
            self._explain(damage(str(error)))
        except (sqlite3.Error, OSError) as error:
            self._explain(error)

    def _explain(self, error: sqlite3.Error | OSError) -> NoReturn:
        if self._is_read_only:
            what = f"this is no shard of a run, or a damaged one ({error})"
            raise InputError(
                what, where=str(self.path), remedy="Copy it again, or run that shard again"
            ) from error
        where, what = str(self.path.parent), f"the unfinished run cannot be written ({error})"
        remedy = self._remedy
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            what = "another process is at work on this output"
            remedy = "Wait until it ends, or choose another name for the output"
        elif is_damaged(error):
            what = f"the unfinished run that lies here is damaged ({error})"
            remedy = "Pass --overwrite without --resume to begin again"
        raise OutputError(what, where=where, remedy=remedy) from error


def _check_kinds(found: Mapping[str, Any], wanted: Fields) -> None:
    """Raise ``damage`` where the provenance in a journal lacks fields, or has others than a run writes."""
    strange = [
        name
        for name in sorted({*found, *wanted})
        if name not in found or name not in wanted or type(found[name]) is not type(wanted[name])
    ]
    if strange:
        raise damage(f"what it says of how it was made has no, or another, {', '.join(strange)}")


def _payload(text: bytes) -> list[Any]:
    try:
        found: list[Any] = from_json(list, parse_json(text), "a record")
    except ValueError as error:
        raise damage(str(error)) from error
    return found


def _stored_row(key: bytes, row: NDArray[np.float32]) -> tuple[bytes, bytes, int]:
    assert row.dtype == np.float32, row.dtype
    value = np.ascontiguousarray(row, "<f4").tobytes()
    return key, value, sum_of(key, value)


def _stored_record(entry: Entry) -> tuple[int, bytes, bytes, int]:
    payload, keys = json.dumps(entry.payload).encode(), b"".join(entry.keys)
    return entry.number, payload, keys, sum_of(str(entry.number).encode(), payload, keys)
