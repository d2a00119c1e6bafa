"""Good files made bad, by chance alone: the same seed gives the same file."""

import io
import json
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

NUMBERS = (
    "0", "-1", "1", "-0", "1e9", "1000000000", "2147483648", "-9223372036854775809", "18446744073709551616",
    "1e308", "-1e400", "NaN", "Infinity", "-Infinity", "nan", "inf", "1.5", "1e-320", "0x10", "1_000",
    "9" * 5000,
)  # fmt: skip
TOKENS = (
    b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b'"', b"'", b",", b"\t", b">", b";",
    b"[", b"]", b"{", b"}", b":", b"#", b"=", b"<mask>", b"*", b"\x1b[2J", b"..", b"/", b"\xe2\x80\xae",
    b"PAR1", b"\x1f\x8b", b"PK\x03\x04", b" " * 5000, b"A" * 70_000,
    b"[" * 100_000, b'{"a":' * 20_000, b"\n" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 10**9, 2**63, -(2**63) - 1, 10**30, 1.5, -5.0, 1e308, float("nan"),
    float("inf"), "", "a", "48", "\0", "../../x", "x" * 10_000, [], [[]], [1, 2], ["a"], {}, {"a": 1}, [None],
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def mutate_bytes(random: Random, content: bytes) -> bytes:
    """One to four changes of bytes, blocks and numbers."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        content = random.choice(_BYTE_MUTATIONS)(random, content)
    return content


def mutate_json(random: Random, content: bytes) -> bytes:
    """A JSON document with one to three values, names or entries that are others."""
    document = json.loads(content)
    for _ in range(random.choice((1, 1, 2, 3))):
        document = _changed(random, document)
    return json.dumps(document).encode()


def mutate_safetensors(random: Random, content: bytes) -> bytes:
    """A file whose header is a good one's with other values; its length is right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = mutate_json(random, content[8 : 8 + length])
    header = header.ljust(length) if len(header) <= length else header + b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def mutate_zip(random: Random, content: bytes) -> bytes:
    """An archive, such as torch writes, with one member that is changed and has the right checksum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in members if name.endswith("data.pkl")]
    name = random.choice(pickles if pickles and random.random() < 0.7 else sorted(members))
    members[name] = mutate_bytes(random, members[name])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return made.getvalue()


def mutate_gzip(random: Random, content: bytes) -> bytes:
    """Changed text, compressed again without fault."""
    text = mutate_bytes(random, zlib.decompress(content, wbits=31))
    packer = zlib.compressobj(wbits=31)
    return packer.compress(text) + packer.flush()


def mutate_journal(random: Random, content: bytes) -> bytes:
    """A SQLite database of ours in which a value is another one, with the right checksum."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        path.write_bytes(content)
        database = sqlite3.connect(path)
        random.choice((_change_state, _change_record, _change_row))(random, database)
        database.commit()
        database.close()
        return path.read_bytes()


def _change_state(random: Random, database: sqlite3.Connection) -> None:
    ((value,),) = database.execute("SELECT value FROM state")
    value = mutate_json(random, value)
    database.execute("UPDATE state SET value = ?, crc32 = ?", (value, zlib.crc32(value)))


def _change_record(random: Random, database: sqlite3.Connection) -> None:
    records = database.execute("SELECT number, payload, keys FROM records").fetchall()
    number, payload, keys = random.choice(records)
    payload = mutate_json(random, payload)
    keys = random.choice((keys, keys[:-1], b"", keys * 2, b"\0" * len(keys)))
    total = zlib.crc32(keys, zlib.crc32(payload, zlib.crc32(str(number).encode())))
    database.execute(
        "UPDATE records SET payload = ?, keys = ?, crc32 = ? WHERE number = ?",
        (payload, keys, total, number),
    )


def _change_row(random: Random, database: sqlite3.Connection) -> None:
    key, value = random.choice(database.execute("SELECT key, value FROM rows").fetchall())
    value = mutate_bytes(random, value)
    database.execute(
        "UPDATE rows SET value = ?, crc32 = ? WHERE key = ?", (value, zlib.crc32(value, zlib.crc32(key)), key)
    )


def _changed(random: Random, document: Any) -> Any:
    """The document with one place, chosen at random, that is another."""
    if not isinstance(document, dict | list) or not document or random.random() < 0.05:
        return random.choice(VALUES)
    copied: Any = document.copy()
    place = random.choice(sorted(document) if isinstance(document, dict) else range(len(document)))
    match random.randrange(8):
        case 0:
            del copied[place]
        case 1:
            copied[place] = random.choice(VALUES)
        case 2 if isinstance(copied, dict):
            copied[random.choice(("", "a", "__class__", f"{place} "))] = copied.pop(place)
        case 3 if isinstance(copied, list):
            copied.append(copied[place])
        case _:
            copied[place] = _changed(random, copied[place])
    return copied


def _flip(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8))):
        if changed:
            changed[_place(random, changed)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _set(random: Random, content: bytes) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[_place(random, changed)] = random.choice((0, 0x7F, 0x80, 0xFF, random.randrange(256)))
    return bytes(changed)


def _cut(random: Random, content: bytes) -> bytes:
    start, stop = _block(random, content)
    return content[:start] + content[stop:]


def _truncate(random: Random, content: bytes) -> bytes:
    return content[: _place(random, content)]


def _double(random: Random, content: bytes) -> bytes:
    start, stop = _block(random, content)
    return content[:stop] + content[start:stop] * random.choice((1, 1, 2, 50)) + content[stop:]


def _move(random: Random, content: bytes) -> bytes:
    start, stop = _block(random, content)
    rest, place = content[:start] + content[stop:], _place(random, content)
    return rest[:place] + content[start:stop] + rest[place:]


def _insert(random: Random, content: bytes) -> bytes:
    place = _place(random, content)
    return content[:place] + random.choice(TOKENS) + content[place:]


def _number(random: Random, content: bytes) -> bytes:
    found = list(_NUMBER.finditer(content[:200_000]))
    if not found:
        return _flip(random, content)
    one = random.choice(found)
    return content[: one.start()] + random.choice(NUMBERS).encode() + content[one.end() :]


def _place(random: Random, content: bytes | bytearray) -> int:
    """Anywhere, and often near the beginning or the end, where formats keep what the rest means."""
    near = min(len(content), 512)
    match random.randrange(3):
        case 0:
            return random.randrange(max(1, near))
        case 1:
            return max(0, len(content) - 1 - random.randrange(max(1, near)))
    return random.randrange(max(1, len(content)))


def _block(random: Random, content: bytes) -> tuple[int, int]:
    start = _place(random, content)
    return start, min(len(content), start + random.choice((1, 2, 4, 8, 16, 64, 1000)))


_BYTE_MUTATIONS: Sequence[Mutation] = (_flip, _set, _cut, _truncate, _double, _move, _insert, _number)
