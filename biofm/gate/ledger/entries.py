"""Entries: each is a canonical JSON text, chained to the one before it by a hash.

``hash = sha256(hash of the entry before || seq || body)``, in hexadecimal, with ``seq`` in decimal. The body
is JSON as RFC 8785 writes it (sorted keys, no spaces, the shortest numbers), with two differences: it is
ASCII, so that no program between can change its bytes, and what readers of JSON do not agree on is spelled
out as text (halves of surrogate pairs, as in names of files, and whole numbers that a double would round).
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, get_args

from biofm_datasets.documents import parse_json

Kind = Literal["segment", "request", "outcome", "label", "session", "approval", "output", "confinement"]
KINDS: tuple[str, ...] = get_args(Kind)
NO_HASH = "0" * 64
"""What stands for the hash before the first entry of all."""
LARGEST_WHOLE = 2**53
"""Up to this number, every reader of JSON reads whole numbers exactly."""
FROM_EXPONENT = 1e21
LINE = re.compile(r'\{"body":(\{.*\}),"hash":"([0-9a-f]{64})","seq":(0|[1-9][0-9]*)\}')


@dataclass(frozen=True, slots=True)
class Entry:
    """Holds one entry as it is stored.

    Attributes:
        seq: The number of the entry. The first one is 1, and none is left out.
        body: What the entry says, as canonical JSON.
        hash: The hash of the chain up to this entry.
    """

    seq: int
    body: str
    hash: str

    @property
    def fields(self) -> dict[str, Any]:
        """What the body says.

        Raises:
            ValueError: The body is no JSON object.
        """
        value = parse_json(self.body)
        if not isinstance(value, dict):
            raise ValueError("it is no JSON object")
        return value

    @property
    def line(self) -> str:
        """The entry as a line of an export or an archive, without the line's end."""
        return f'{{"body":{self.body},"hash":"{self.hash}","seq":{self.seq}}}'


def entry_of_line(line: str) -> Entry:
    """Read an entry from a line of an archive.

    Raises:
        ValueError: This is no such line.
    """
    found = LINE.fullmatch(line)
    if found is None:
        raise ValueError("it is no entry")
    return Entry(int(found[3]), found[1], found[2])


def chained(previous: str, seq: int, fields: Mapping[str, Any]) -> Entry:
    """Return the next entry of a chain.

    Args:
        previous: The hash of the entry before.
        seq: The number of the new entry.
        fields: What the entry says.

    Raises:
        ValueError: A value has no place in JSON.
    """
    body = canonical(fields)
    return Entry(seq, body, hash_of(previous, seq, body))


def hash_of(previous: str, seq: int, body: str) -> str:
    """Return the hash of an entry, in hexadecimal."""
    return hashlib.sha256(f"{previous}{seq}{body}".encode("ascii")).hexdigest()


def now() -> str:
    """Return the present time in UTC, to a millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def canonical(value: Any) -> str:
    """Return a value as canonical JSON.

    Raises:
        ValueError: It is a number that is not finite, or has a type that JSON lacks.
    """
    match value:
        case str():
            return _text(value)
        case bool():
            return "true" if value else "false"
        case None:
            return "null"
        case int():
            return _whole(value)
        case float():
            return _real(value)
        case list() | tuple():
            return f"[{','.join(map(canonical, value))}]"
        case Mapping():
            pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be", "surrogatepass"))
            return f"{{{','.join(f'{_text(name)}:{canonical(one)}' for name, one in pairs)}}}"
    raise ValueError(f"a value of the type {type(value).__name__} has no place in the ledger")


def _text(value: str) -> str:
    if not value.isascii():
        value = value.encode(errors="backslashreplace").decode()
    return encode_basestring_ascii(value).replace("\x7f", r"\u007f")


def _whole(value: int) -> str:
    text = str(value)
    is_exact = abs(value) <= LARGEST_WHOLE or (abs(value) < FROM_EXPONENT and _real(float(value)) == text)
    return text if is_exact else _text(text)


def _real(value: float) -> str:
    """Write a number as ECMAScript does, which RFC 8785 asks for."""
    if not math.isfinite(value):
        raise ValueError(f"the number {value} is not finite")
    if value == 0:
        return "0"
    if 1e-6 <= abs(value) < FROM_EXPONENT:
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    return re.sub(r"e([+-])0*", r"e\1", repr(value))
