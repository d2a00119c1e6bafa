"""The record of a store, ``store.json``, which describes the data set and its files."""

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
"""The residues that models were judged on in version 1, in the order of their tokens."""

_REMEDY = "Prepare the store again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alphabet:
    """Says what the tokens mean: token number i is spelled ``tokens[i]``.

    Attributes:
        name: The name of the alphabet, for messages.
        tokens: The spelling of each token.
        modality: The kind of record, such as protein.
        units: The word for what a token stands for, such as residues.
        standard: The word for the tokens that models are judged on, such as amino acids.
        before, behind: The numbers of the special tokens around each sequence.
        scored: The numbers of the tokens that models are judged on.
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
        """The number of special tokens that stand around each sequence."""
        return len(self.before) + len(self.behind)

    @property
    def sha256(self) -> str:
        """The checksum of everything that decides what token numbers mean."""
        parts = [self.modality, self.tokens, self.before, self.behind]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Describes one input, whose sequences stand together in the store.

    Attributes:
        name: The name of the input.
        sha256: The checksum of the input.
        weight: Its weight in a mixture; None for its natural share.
        first: The number of its first sequence.
        n_sequences: The number of its sequences.
        n_tokens: The number of their tokens, special ones included.
        n_units: The number of their units, such as residues.
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
    """Describes how the parts of a split were made.

    Attributes:
        method: The method of ``SplitOptions``.
        parameters: The options that decided the split.
        tool: The tool that found relatives; empty if the method needs none.
        counts: The number of sequences of each part.
    """

    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tool: str = ""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """Describes a file of a store.

    Attributes:
        n_bytes: The size of the data, which follow a header of 4,096 bytes.
        data_sha256: The checksum of the data; the header follows from the record.
    """

    n_bytes: int
    data_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRecord:
    """Holds everything about a store that is not an array.

    Attributes:
        alphabet: The meaning of the tokens.
        dtype: The dtype of the tokens: U8, U16 or U32.
        n_sequences: The number of sequences.
        n_tokens: The number of tokens, special ones included.
        sources: The inputs, in the order of their sequences.
        split: How the parts were made.
        notices: What was changed or odd in the input, with counts.
        files: The other files by name.
        gaps: What became of the gaps of alignments (see ``biofm_datasets.protein``). Stores that do not say
            it kept them.
        request: A digest of everything that was asked for, by which the same request is recognised.
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
    """Return the content of ``store.json``."""
    content = {"format": FORMAT, "version": VERSION, **asdict(record)}
    return (json.dumps(content, indent=1) + "\n").encode()


def read_record(text: bytes, path: Path) -> StoreRecord:
    """Read the record from the content of ``store.json``; ``path`` names the file in messages.

    Raises:
        DataError: It is damaged, of another format, or of a newer version.
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
        what = (
            f"this store has version {version} of the format, but this biofm reads versions 1 and {VERSION}"
        )
        raise DataError(what, where=str(path), remedy="Update biofm, or prepare the store again")
    try:
        return _record_of(_of_version_1(content) if version == 1 else content)
    except ValueError as error:
        what = f"the record of this store is damaged ({error})"
        raise DataError(what, where=str(path), remedy=_REMEDY) from error


def _of_version_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a record of version 1, which held only proteins, with <cls> before and <eos> behind each."""
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
        raise ValueError("it names other files than a store has")
    places = [0, *(source.first + source.n_sequences for source in record.sources)]
    if [source.first for source in record.sources] != places[:-1] or places[-1] != record.n_sequences:
        raise ValueError("its sources do not add up to its sequences")
    if any(source.n_sequences < 0 or source.n_tokens < 0 or source.n_units < 0 for source in record.sources):
        raise ValueError("a source has a negative count")
    numbers = (*record.alphabet.before, *record.alphabet.behind, *record.alphabet.scored)
    if not all(number in range(len(record.alphabet.tokens)) for number in numbers):
        raise ValueError("its alphabet refers to tokens that it lacks")
    if any(source.weight is not None and source.weight <= 0 for source in record.sources):
        raise ValueError("a source has a weight that is not positive")
    return record
