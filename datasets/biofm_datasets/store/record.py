"""What a store says of itself, in ``store.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biofm_datasets.documents import from_json, parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.store.files import DATA_FILES

FORMAT = "biofm token store"
VERSION = 1

_REMEDY = "Prepare the store again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """The meaning of the tokens: token number i is spelt ``tokens[i]``."""

    name: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input, whose sequences stand together from number ``first`` on. ``weight``: of a mixture, None for
    its natural share.
    """

    name: str
    sha256: str
    weight: float | None
    first: int
    n_sequences: int
    n_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecord:
    """How the parts were made: by which method, with which parameters and tool, and how many sequences each
    part has.
    """

    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tool: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """``data_sha256``: of the ``n_bytes`` bytes behind the header of 4,096, which the record determines."""

    n_bytes: int
    data_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord:
    """Everything about a store that is not an array. ``gaps``: what became of those of alignments, see
    ``biofm_datasets.protein``; stores that do not say it kept them. ``request``: a digest of all that was
    asked for, by which the same request is known again.
    """

    alphabet: Alphabet
    dtype: str
    n_sequences: int
    n_tokens: int
    sources: tuple[Source, ...]
    split: SplitRecord
    notices: dict[str, int]
    files: dict[str, FileRecord]
    gaps: str = "keep"
    request: str = ""


def spell_record(record: StoreRecord) -> bytes:
    """The content of ``store.json``."""
    content = {"format": FORMAT, "version": VERSION, **asdict(record)}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_record(text: bytes, path: Path) -> StoreRecord:
    """The record in ``store.json``.

    Raises DataError: it is damaged, of another format, or of a newer version.
    """
    try:
        content = parse_json(text)
        kind, version = content.pop("format", None), content.pop("version", None)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError("this is no JSON object", where=str(path), remedy=_REMEDY) from error
    if kind != FORMAT:
        what = f"this describes {kind!r}, not a {FORMAT}"
        raise DataError(what, where=str(path), remedy="Give the folder that biofm data prepare wrote")
    if version != VERSION:
        what = f"this store has the format's version {version}, and this biofm reads version {VERSION}"
        raise DataError(what, where=str(path), remedy="Update biofm, or prepare the store again")
    try:
        return _record_of(content)
    except ValueError as error:
        what = f"the record of this store is damaged ({error})"
        raise DataError(what, where=str(path), remedy=_REMEDY) from error


def _record_of(content: Mapping[str, Any]) -> StoreRecord:
    record: StoreRecord = from_json(StoreRecord, content, "the store")
    if set(record.files) != set(DATA_FILES):
        raise ValueError("it speaks of other files")
    places = [0, *(source.first + source.n_sequences for source in record.sources)]
    if [source.first for source in record.sources] != places[:-1] or places[-1] != record.n_sequences:
        raise ValueError("its sources are not those of its sequences")
    if any(source.n_sequences < 0 or source.n_tokens < 0 for source in record.sources):
        raise ValueError("a source has less than no sequences")
    if any(source.weight is not None and source.weight <= 0 for source in record.sources):
        raise ValueError("a source has no weight")
    return record
