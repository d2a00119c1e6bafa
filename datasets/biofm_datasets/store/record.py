"""What a store says of itself, in ``store.json``."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biofm_datasets.documents import from_json, parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.store.files import DATA_FILES, VALUES

FORMAT = "biofm token store"
VERSION = 2

AMINO_ACIDS = "LAGVSERTIDPKQNFYMHWC"
"""What models were judged on in version 1, in the order of their tokens."""

_REMEDY = "Prepare the store again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """The meaning of the tokens: token number i is spelt ``tokens[i]``.

    - ``modality``: the kind of record, such as protein; ``units``: what people call that which a token stands
      for, such as residues.
    - ``before``, ``behind``: the numbers of the special tokens around each sequence.
    - ``scored``: the numbers of the tokens that models are judged on; ``standard``: what people call these,
      such as amino acids.
    """

    name: str
    tokens: tuple[str, ...]
    modality: str = "protein"
    units: str = "residues"
    standard: str = "amino acids"
    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()
    scored: tuple[int, ...] = ()

    @property
    def n_special(self) -> int:
        """How many special tokens stand around each sequence."""
        return len(self.before) + len(self.behind)

    @property
    def sha256(self) -> str:
        """A checksum of all that decides what token numbers mean."""
        parts = [self.modality, self.tokens, self.before, self.behind]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input, whose sequences stand together from number ``first`` on. ``n_units``: such as residues.
    ``weight``: of a mixture, None for its natural share.
    """

    name: str
    sha256: str
    weight: float | None
    first: int
    n_sequences: int
    n_tokens: int
    n_units: int


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

    @property
    def n_units(self) -> int:
        return sum(source.n_units for source in self.sources)


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
    if version not in (1, VERSION):
        what = f"this store has the format's version {version}, and this biofm reads versions 1 and {VERSION}"
        raise DataError(what, where=str(path), remedy="Update biofm, or prepare the store again")
    try:
        return _record_of(_of_version_1(content) if version == 1 else content)
    except ValueError as error:
        what = f"the record of this store is damaged ({error})"
        raise DataError(what, where=str(path), remedy=_REMEDY) from error


def _of_version_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """As version 2 says it. Version 1 held proteins alone, with <cls> before and <eos> behind each."""
    alphabet, sources = content.get("alphabet"), content.get("sources")
    if not isinstance(alphabet, dict) or not isinstance(alphabet.get("tokens"), list):
        raise ValueError("it has no alphabet")
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise ValueError("it has no sources")
    numbers = {token: i for i, token in enumerate(alphabet["tokens"]) if isinstance(token, str)}
    before, behind = ([numbers[it]] if it in numbers else [] for it in ("<cls>", "<eos>"))
    n_special = len(before) + len(behind)
    scored = [numbers[letter] for letter in AMINO_ACIDS if letter in numbers]
    n_units = [_whole(it, "n_tokens") - n_special * _whole(it, "n_sequences") for it in sources]
    return {
        **content,
        "alphabet": {**alphabet, "before": before, "behind": behind, "scored": scored},
        "sources": [{**it, "n_units": n} for it, n in zip(sources, n_units, strict=True)],
    }


def _whole(source: Mapping[str, Any], name: str) -> int:
    if type(source.get(name)) is not int:
        raise ValueError(f"a source has no {name}")
    return int(source[name])


def _record_of(content: Mapping[str, Any]) -> StoreRecord:
    record: StoreRecord = from_json(StoreRecord, content, "the store")
    if set(record.files) - {VALUES.name} != set(DATA_FILES):
        raise ValueError("it speaks of other files")
    places = [0, *(source.first + source.n_sequences for source in record.sources)]
    if [source.first for source in record.sources] != places[:-1] or places[-1] != record.n_sequences:
        raise ValueError("its sources are not those of its sequences")
    if any(source.n_sequences < 0 or source.n_tokens < 0 or source.n_units < 0 for source in record.sources):
        raise ValueError("a source has less than no sequences")
    numbers = (*record.alphabet.before, *record.alphabet.behind, *record.alphabet.scored)
    if not all(number in range(len(record.alphabet.tokens)) for number in numbers):
        raise ValueError("its alphabet speaks of tokens that it lacks")
    if any(source.weight is not None and source.weight <= 0 for source in record.sources):
        raise ValueError("a source has no weight")
    return record
