"""Verification: whether the ledger is the chain that was written, and its side tables follow from it."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biofm.gate.ledger import fold, schema
from biofm.gate.ledger.entries import KINDS, NO_HASH, Entry, entry_of_line, hash_of
from biofm.gate.ledger.heads import Head
from biofm.gate.ledger.reading import Row, Snapshot, snapshot_of, table_of
from biofm.gate.ledger.segments import archive_folder

NO_HEAD = (
    "A rollback to an earlier copy, and a cut tail, cannot be excluded: this needs a head that is kept "
    "elsewhere (biofm audit head)."
)
ENTRIES = "table entries"
NO_LEDGER = "This is no ledger of biofm: it has no table of entries."


@dataclass(frozen=True, slots=True)
class Report:
    """Holds what a verification found.

    Attributes:
        ledger: The id of the ledger; empty if it cannot be read.
        n_entries: How many entries were read, archives included.
        findings: What is wrong, a sentence each.
        notes: What cannot be known, a sentence each.
    """

    ledger: str
    n_entries: int
    findings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Part:
    """Holds the rows of an archive, or those of the database."""

    name: str
    rows: list[Row]
    sha256: str = ""


def verify(path: Path, head: Head | None = None) -> Report:
    """Verify a ledger with its archives.

    Args:
        path: The file of the ledger.
        head: A head of this ledger that was kept elsewhere, whose signature is checked.

    Raises:
        LedgerError: There is no ledger.
    """
    snapshot = snapshot_of(path)
    if ENTRIES not in snapshot.objects:
        return Report("", 0, (*snapshot.faults, NO_LEDGER), ())
    findings = [*snapshot.faults, *faults_of_schema(snapshot)]
    parts, missing = _parts(path, snapshot)
    findings += [*missing, *_faults_of_parts(parts), *_faults_of_before(path, parts)]
    for part in parts:
        start = _start(parts, part)
        findings += [f"{part.name}: {fault}" for fault in faults_of_rows(part.rows, *start)]
    findings += _faults_of_fold(parts, snapshot)
    first = _segment(parts[0])
    identity = str(first.get("ledger", ""))
    findings += faults_of_head(head, identity, parts[-1].rows, parts) if head else ()
    n_entries = sum(len(part.rows) for part in parts)
    return Report(identity, n_entries, tuple(findings), () if head else (NO_HEAD,))


def faults_of_schema(snapshot: Snapshot) -> Iterator[str]:
    """Yield what is wrong with the tables, indices and triggers, and what SQLite's own check finds."""
    yield from (f"SQLite's integrity check says: {answer}." for answer in snapshot.integrity)
    if snapshot.version != schema.FORMAT:
        yield f"The ledger has the format {snapshot.version}, and not {schema.FORMAT}."
    expected = schema.expected_objects()
    for name in sorted(expected.keys() - snapshot.objects.keys()):
        yield f"The ledger lacks the {name}."
    for name in sorted(snapshot.objects.keys() - expected.keys()):
        yield f"The {name} is no part of a ledger."
    for name in sorted(expected.keys() & snapshot.objects.keys()):
        if expected[name] != snapshot.objects[name]:
            yield f"The {name} was changed."


def faults_of_rows(rows: Iterable[Row], seq: int, previous: str) -> Iterator[str]:
    """Yield what is wrong with a chain of entries.

    Args:
        rows: The entries, in the order of their numbers.
        seq: The number of the entry before them.
        previous: The hash of the entry before them.
    """
    for number, body, hash_ in rows:
        is_next = number == seq + 1
        if number > seq + 1:
            yield _lack(seq + 1, number - 1)
        elif not is_next:
            yield f"Entry {number} stands after entry {seq}."
        if not isinstance(body, str):
            yield f"The body of entry {number} is no ASCII text."
        elif not isinstance(hash_, str):
            yield f"The hash of entry {number} is no ASCII text."
        elif is_next and hash_of(previous, number, body) != hash_:
            yield f"Entry {number} does not agree with its hash: its body, its hash or its place was changed."
        seq, previous = number, hash_ if isinstance(hash_, str) else ""


def faults_of_head(head: Head, identity: str, live: list[Row], parts: list["_Part"]) -> Iterator[str]:
    """Yield how a ledger contradicts a head that was kept elsewhere."""
    if head.ledger != identity:
        yield f"The head is of the ledger {head.ledger}, but this is the ledger {identity or '(unknown)'}."
        return
    last = live[-1][0] if live else 0
    if last < head.seq:
        yield (
            f"The ledger ends with entry {last}, but the head says entry {head.seq}: "
            "its tail was cut, or an earlier copy was put in its place."
        )
        return
    hashes = {number: hash_ for part in parts for number, _, hash_ in part.rows}
    if hashes.get(head.seq) != head.hash:
        yield f"Entry {head.seq} has another hash than the head says: the entries up to it were rewritten."


def _parts(path: Path, snapshot: Snapshot) -> tuple[list[_Part], list[str]]:
    """Return the archives and the database as parts of one chain, and which archives cannot be read."""
    live = _Part("Ledger", snapshot.rows)
    number = _segment(live).get("segment", 1)
    n_there = len(list(archive_folder(path).glob("*.jsonl")))
    n_archives = min(number - 1, n_there + 1) if type(number) is int else 0  # The number may be nonsense.
    parts, faults = [], []
    for one in range(1, n_archives + 1):
        archive = archive_folder(path) / f"{one:06d}.jsonl"
        part = _Part(f"Archive {archive.name}", [])
        try:
            content = archive.read_bytes()
            part.sha256 = hashlib.sha256(content).hexdigest()
            for line in content.decode("ascii").splitlines():
                entry = entry_of_line(line)
                part.rows.append((entry.seq, entry.body, entry.hash))
        except OSError as error:
            faults.append(f"{part.name} cannot be read ({error.strerror}).")
        except ValueError as error:
            faults.append(f"{part.name} is damaged after {len(part.rows)} entries ({error}).")
        parts.append(part)
    return [*parts, live], faults


def _faults_of_parts(parts: list[_Part]) -> Iterator[str]:
    """Yield where the entries that begin the segments contradict each other or the archives."""
    before: _Part | None = None
    identity = _segment(parts[0]).get("ledger")
    for number, part in enumerate(parts, start=1):
        if not part.rows:
            if not part.sha256:  # An archive that cannot be read has been named.
                yield f"{part.name}: there are no entries."
            before = part
            continue
        first = _segment(part)
        if (first.get("segment"), first.get("ledger")) != (number, identity) or identity is None:
            yield f"{part.name}: its first entry does not begin segment {number} of this ledger."
        archive = first.get("archive")
        if before is not None and before.rows:
            said = archive if isinstance(archive, dict) else {}
            expected = {
                "name": before.name.removeprefix("Archive "), "sha256": before.sha256,
                "first": before.rows[0][0], "last": before.rows[-1][0],
            }  # fmt: skip
            if said != expected:
                yield f"{before.name} is not the archive that the entry after it records."
        elif before is None and archive is not None:
            yield f"{part.name}: its first entry names an archive, but there is none before it."
        before = part


def _faults_of_before(path: Path, parts: list[_Part]) -> Iterator[str]:
    """Yield whether the ledger of an earlier version, which was kept, has been changed."""
    before = _segment(parts[0]).get("before")
    if not isinstance(before, dict):
        return
    kept = path.with_name(str(before.get("name")).replace("/", "_"))
    try:
        if hashlib.sha256(kept.read_bytes()).hexdigest() != before.get("sha256"):
            yield f"The ledger of an earlier version, {kept.name}, was changed."
    except OSError as error:
        yield f"The ledger of an earlier version, {kept.name}, cannot be read ({error.strerror})."


def _start(parts: list[_Part], part: _Part) -> tuple[int, str]:
    """Return the number and hash of the entry before a part."""
    index = parts.index(part)
    if index == 0:
        return 0, NO_HASH
    rows = parts[index - 1].rows
    if rows:
        return rows[-1][0], rows[-1][2] if isinstance(rows[-1][2], str) else ""
    first = part.rows[0][0] if part.rows else 1  # The archive before is lost: this part says what it held.
    return first - 1, str(_segment(part).get("previous", ""))


def _segment(part: _Part) -> dict[str, Any]:
    """Return the fields of the entry that begins a part; none if it is no such entry."""
    if not part.rows:
        return {}
    number, body, _ = part.rows[0]
    try:
        fields = Entry(number, body if isinstance(body, str) else "", "").fields
    except ValueError:
        return {}
    return fields if fields.get("kind") == "segment" else {}


def _faults_of_fold(parts: list[_Part], snapshot: Snapshot) -> Iterator[str]:
    """Yield which entries make no sense, and where the side tables differ from what the entries say."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        cursor = connection.cursor()
        schema.create(cursor)
        cursor.execute("BEGIN")
        for part in parts:
            for index, (number, body, _) in enumerate(part.rows):
                if not isinstance(body, str):
                    continue
                try:
                    fields = Entry(number, body, "").fields
                    if fields["kind"] not in KINDS or (fields["kind"] == "segment" and index):
                        raise ValueError(f"no entry of the kind {fields['kind']!r} belongs here")
                    fold.apply(cursor, number, fields)
                except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
                    yield f"{part.name}: entry {number} makes no sense ({error})."
        for name in snapshot.tables:
            said, kept = (set(rows) for rows in (table_of(connection, name), snapshot.tables[name]))
            for row in sorted(kept - said, key=repr):
                yield f"The table {name} has the row {_spelt(row)}, which no entry says."
            for row in sorted(said - kept, key=repr):
                yield f"The table {name} lacks the row {_spelt(row)}, which the entries say."


def _spelt(row: tuple[Any, ...]) -> str:
    values = (
        value.decode(errors="backslashreplace") if isinstance(value, bytes) else value for value in row[::2]
    )
    return ", ".join(map(repr, values))


def _lack(first: int, last: int) -> str:
    return f"Entry {first} is missing." if first == last else f"Entries {first} to {last} are missing."
