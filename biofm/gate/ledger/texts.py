"""Keyed texts: what may name a person enters the ledger as a keyed hash, ``hmac-sha256:...``.

Every text is keyed, unless it is one of a closed choice or its field can only hold words of biofm itself.
Equal texts of one segment have equal hashes, so that an auditor who knows a path and the key can look for it.
Each segment has a key of its own. The file of the keys has a line of JSON for each: the ledger's id, the
segment's number and the key.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biofm_datasets.documents import parse_json

from biofm.core.errors import LedgerError
from biofm.gate.ledger.entries import canonical
from biofm.gate.ledger.keys import key_file, read_all, write_all

Choices = Mapping[str, Collection[str]]
"""The words that a field may hold in clear, by the field's name, such as ``options.pooling``."""

PREFIX = "hmac-sha256:"
N_DIGITS = 32
KEY_BYTES = 32
CLEAR = frozenset(
    {
        "kind", "time", "action", "decision", "error", "evidence", "outcome", "rule", "sends", "policies",
        "holder", "session", "request_hash", "sha256", "device", "inode", "ctime_ns",
    }
)  # fmt: skip
"""The fields whose texts stay: words of biofm and of the policy, numbers, hashes, and the names under which
labels are held. These must be the same in all segments, so a holder's name is chosen by the gate.
"""


@dataclass(frozen=True, slots=True)
class SegmentKey:
    """Holds the key of one segment.

    Attributes:
        key: The key.
    """

    key: bytes

    def text(self, value: str) -> str:
        """Return what stands for a text in the ledger."""
        content = value.encode(errors="surrogatepass")
        return PREFIX + hmac.new(self.key, content, hashlib.sha256).hexdigest()[:N_DIGITS]

    def fields(self, fields: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
        """Return the fields of an entry in which keyed hashes stand for what is not clear."""
        keyed: dict[str, Any] = {name: self._value(one, name, choices) for name, one in fields.items()}
        return keyed

    def _value(self, value: Any, name: str, choices: Choices) -> Any:
        match value:
            case str():
                is_clear = not value or name in CLEAR or value in choices.get(name, ())
                return value if is_clear else self.text(value)
            case Mapping():
                return {key: self._value(one, f"{name}.{key}", choices) for key, one in value.items()}
            case list() | tuple():
                return [self._value(one, name, choices) for one in value]
        return value


def key_of_segment(path: Path, ledger: Path, identity: str, segment: int) -> SegmentKey:
    """Return the key of a segment, and make it if the file has none.

    Args:
        path: The file of the keys.
        ledger: The file of the ledger. Its lock is held.
        identity: The id of the ledger.
        segment: The number of the segment.

    Raises:
        LedgerError: The file cannot be read or written, or its content is no list of keys.
    """
    with key_file(path, ledger, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
        content = read_all(descriptor)
        for number, line in enumerate(content.splitlines(), start=1):
            found = _read_line(line, path, number)
            if (found["ledger"], found["segment"]) == (identity, segment):
                return SegmentKey(bytes.fromhex(found["key"]))
        key = secrets.token_bytes(KEY_BYTES)
        line = canonical({"ledger": identity, "segment": segment, "key": key.hex()}).encode()
        is_whole = not content or content.endswith(b"\n")
        write_all(descriptor, (b"" if is_whole else b"\n") + line + b"\n")
        return SegmentKey(key)


def spellings_of(text: str, keys: Path, ledger: Path) -> frozenset[str]:
    """Return how a text stands in a ledger: as it is, and keyed by each key of a file.

    Args:
        text: The text, such as the absolute path of a file.
        keys: The file of the keys.
        ledger: The file of the ledger.

    Raises:
        LedgerError: The file of the keys cannot be read, or its content is no list of keys.
    """
    with key_file(keys, ledger) as descriptor:
        lines = enumerate(read_all(descriptor).splitlines(), start=1)
        found = [SegmentKey(bytes.fromhex(_read_line(line, keys, number)["key"])) for number, line in lines]
    return frozenset({text, *(one.text(text) for one in found)})


def _read_line(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = parse_json(line)
        if len(bytes.fromhex(found["key"])) != KEY_BYTES or not {"ledger", "segment"} <= found.keys():
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        what = "this line is no key of a segment"
        remedy = "Name a file that biofm has made, or one that does not exist yet"
        raise LedgerError(what, where=f"{path}, line {number}", remedy=remedy) from error
    keys: dict[str, Any] = found
    return keys
