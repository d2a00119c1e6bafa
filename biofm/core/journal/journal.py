"""A run's work so far, on the disk: what ``--resume`` goes on from, and what a shard leaves for ``merge``.

A SQLite database of which each transaction is a chunk of work, so that however a process ends, whole chunks
are there and nothing else. Two things are kept: **rows**, float32 arrays by a key that says what was
computed, so that the same thing is computed once however far apart it comes; and **records**, those of the
input in their order, each with what the output says of it and the keys of its rows.

    journal = Journal(path)                                   # locked until close
    journal.begin(fingerprint, provenance)                    # OutputError: the work there is another run's
    todo = journal.remaining(proteins, identity, "in.fasta")  # InputError: the input has changed
    for chunk in chunks_of(todo):                             # cut by the input alone, never by the clock
        new = compute(keys_of(chunk) - journal.known(keys_of(chunk)))
        journal.commit([Entry(...) for protein in chunk], new, {"tokens": n_tokens})
    journal.finish({"n_records": n})
    for entry in journal.entries():
        journal.row(entry.keys[0])

Resumed work is the same, bit by bit, where chunks and what is known depend on the input alone. Faults of the
disk are OutputErrors; those of a journal opened to be read are InputErrors.
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
    check_sum,
    damage,
    is_damaged,
    open_journal,
    open_to_read,
    remove,
    sum_of,
    transaction,
)
from biofm.core.journal.digest import KEY_BYTES, feed

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

    number: its place in the input, from 1; ascending, with gaps where other shards have the rest.
    payload: what the output says of it, as JSON can hold it; floats come back exactly.
    keys: of the rows that belong to it, which may belong to others too.
    identity: everything that makes it this record. Kept as part of a running digest, and empty when read.
    """

    number: int
    payload: Sequence[Any]
    keys: Sequence[bytes] = ()
    identity: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """All that is said of the work as a whole, in JSON."""

    fingerprint: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    n_done: int = 0
    digest: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    finished: dict[str, Any] | None = None
    naming: dict[str, tuple[int, ...]] = field(default_factory=dict)


class Journal:
    """The journal at ``path``, made where there is none. No other process can open it until ``close``.

    ``anew``: whatever is there is forgotten, sound or damaged.
    ``remedy``: what to do where it cannot be written.
    ``read_only``: it is one that was left whole,
    such as a shard's, and any number of processes may read it.

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
        """How many records are done and on the disk."""
        return int(self._state().get("n_done", 0))

    @property
    def n_rows(self) -> int:
        with self._faults():
            (newest,) = self._connection.execute("SELECT max(id) FROM rows").fetchone()
        return newest or 0

    @property
    def counts(self) -> Counter[str]:
        """The sums of what the commits counted."""
        return Counter(self._state().get("counts", {}))

    @property
    def fingerprint(self) -> dict[str, Any]:
        return dict(self._state().get("fingerprint", {}))

    @property
    def provenance(self) -> dict[str, Any]:
        return dict(self._state().get("provenance", {}))

    @property
    def finished(self) -> dict[str, Any] | None:
        """What ``finish`` was told; None before."""
        found: dict[str, Any] | None = self._state().get("finished")
        return found

    @property
    def naming(self) -> dict[str, tuple[int, ...]]:
        """What ``name`` was told; nothing before."""
        return dict(self._state().get("naming", {}))

    def begin(self, fingerprint: Fields, provenance: Fields) -> None:
        """Say what is about to be done, or go on with it: ``fingerprint`` decides the numbers, and is that of
        the work already there; ``provenance`` is for the output, and the first one stays.

        Raises OutputError: the work there was done otherwise.
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
        """The items that are not done yet. Those that are, the first ones, are read again and compared.

        Raises InputError: they are no longer what they were. What follows them may well have changed.
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
        """Those of the keys that have a row already."""
        with self._faults():
            return {key for key in keys if self._connection.execute(HAS_ROW, (key,)).fetchone()}

    def commit(
        self,
        entries: Sequence[Entry],
        rows: Mapping[bytes, NDArray[np.float32]],
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Bring a chunk of work to the disk, whole or not at all. ``rows`` are new; their shape is the
        caller's to remember. ``counts`` are added to those of the chunks before.
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
        """Say that the input has ended and all of it is done."""
        with self._transaction():
            self._set_state(self._state() | {"finished": dict(totals)})

    def name(self, files: Mapping[str, Sequence[int]]) -> None:
        """Say that the outputs, by role, are about to get their names, and by what they are known."""
        with self._transaction():
            self._set_state(self._state() | {"naming": {role: list(known) for role, known in files.items()}})

    def entries(self) -> Iterator[Entry]:
        """The records done, by their numbers."""
        with self._faults():
            for number, payload, keys, crc32 in self._connection.execute(RECORDS):
                check_sum(crc32, str(number).encode(), payload, keys)
                ends = range(KEY_BYTES, len(keys) + 1, KEY_BYTES)
                if len(keys) % KEY_BYTES:
                    raise damage("a key is cut off")
                yield Entry(number, _payload(payload), [keys[end - KEY_BYTES : end] for end in ends])

    def row(self, key: bytes, n_values: int | None = None) -> NDArray[np.float32]:
        """The row of this key, as one long array, of ``n_values`` where that is known. There is one of every
        key that is known or in an entry.
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
        """All that is said of the work as a whole."""
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
    """Raise ``damage`` where what a journal says of its making is not what any run says of it."""
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
