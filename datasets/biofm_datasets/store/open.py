"""Opens a store on the disk: checks it quickly, and reads its parts when they are needed."""

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from biofm_datasets.arrays import Hashes, Indices
from biofm_datasets.errors import DataError
from biofm_datasets.store.files import (
    HASHES,
    ID_OFFSETS,
    IDS,
    OFFSETS,
    RECORD,
    SPLIT,
    TOKENS,
    UNFINISHED,
    VALUES,
    map_split,
)
from biofm_datasets.store.record import StoreRecord, read_record
from biofm_datasets.store.tensor_file import COPY_AGAIN, read_data
from biofm_datasets.store.tokens import Ids, Members, TokenStore
from biofm_datasets.text import format_count


@dataclass(frozen=True, slots=True)
class Store:
    """Holds a data set on the disk. Nothing is read before it is needed. A store is pickled as its path.

    Attributes:
        folder: The folder of the store.
        record: The content of ``store.json``.
        tokens: The sequences.
        ids: The ids of the sequences.
        hashes: A 64-bit hash of each sequence; equal tokens have equal hashes.
        split: The members of "train", "validation", "test" and "removed", ascending.
        sha256: The checksum of ``store.json``, which holds the checksums of the other files.
    """

    folder: Path
    record: StoreRecord
    tokens: TokenStore
    ids: Ids
    hashes: Hashes
    split: dict[str, Indices]
    sha256: str

    def __len__(self) -> int:
        return len(self.tokens)

    def pools(self, part: str) -> list[Members]:
        """Return the members of a part of the split, source by source, as a ``Mixture`` takes them.

        Args:
            part: "train", "validation", "test" or "removed".
        """
        ends = [source.first + source.n_sequences for source in self.record.sources]
        places = [0, *np.searchsorted(self.split[part], ends).tolist()]
        return [Members(self.folder, part, first, last) for first, last in pairwise(places)]

    @property
    def weights(self) -> list[float] | None:
        """The weights of the sources; None if they were given none."""
        given = [source.weight for source in self.record.sources]
        return None if None in given else [weight for weight in given if weight is not None]

    def __reduce__(self) -> Any:
        return open_store, (self.folder,)


def open_store(folder: str | Path, *, verify: bool = False) -> Store:
    """Open the store in a folder and check that its files fit together.

    Args:
        folder: The folder of the store.
        verify: Whether to read all files and compare their checksums as well.

    Raises:
        DataError: The folder holds no store, an unfinished one or one of a newer version; or a file is
            missing, damaged, or contradicts the record.
    """
    folder = Path(folder)
    text = _read_record_file(folder)
    record = read_record(text, folder / RECORD)
    tokens, ids, hashes = TokenStore.mapped(folder), IDS.map(folder), HASHES.map(folder)
    id_offsets, split = ID_OFFSETS.map(folder), map_split(folder)
    _check_offsets(folder / OFFSETS.name, tokens.offsets, len(tokens.tokens))
    _check_offsets(folder / ID_OFFSETS.name, id_offsets, len(ids))
    _check_split(folder / SPLIT, split, record.n_sequences)
    counts = {OFFSETS: len(tokens), ID_OFFSETS: len(id_offsets) - 1, HASHES: len(hashes)}
    for file, n_sequences in counts.items():
        _check_count(folder / file.name, n_sequences, record.n_sequences, "sequences")
    _check_count(folder / TOKENS.name, len(tokens.tokens), record.n_tokens, "tokens")
    if (VALUES.name in record.files) != (tokens.values is not None):
        raise _foreign(folder / VALUES.name, f"{RECORD} and the files disagree on whether there are values")
    if tokens.values is not None:
        _check_count(folder / VALUES.name, len(tokens.values), record.n_tokens, "values")
    if verify:
        _verify(folder, record)
    sha256 = hashlib.sha256(text).hexdigest()
    return Store(folder, record, tokens, Ids(ids, id_offsets), hashes, split, sha256)


def _read_record_file(folder: Path) -> bytes:
    try:
        return (folder / RECORD).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        what, remedy = f"this is no store: there is no {RECORD} in it", "Make one with biofm data prepare"
        if (folder / UNFINISHED).is_dir():
            what, remedy = "this store is unfinished", "Repeat the command that prepares it, with --resume"
        raise DataError(what, where=str(folder), remedy=remedy) from error
    except OSError as error:
        what = f"the store cannot be read ({error.strerror})"
        raise DataError(what, where=str(folder / RECORD), remedy="Check its permissions") from error


def _check_offsets(path: Path, offsets: Indices, end: int) -> None:
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != end:
        last = offsets[-1] if len(offsets) else "missing"
        raise _foreign(path, f"the last offset is {last}, but the data have {format_count(end, 'value')}")


def _check_split(path: Path, split: dict[str, Indices], n_sequences: int) -> None:
    for part, members in split.items():
        if len(members) and (members[0] < 0 or members[-1] >= n_sequences):
            what = f"{part} has sequence number {members[0] if members[0] < 0 else members[-1]}"
            raise _foreign(path, f"{what}, but the store has {format_count(n_sequences, 'sequence')}")


def _check_count(path: Path, found: int, expected: int, things: str) -> None:
    if found != expected:
        raise _foreign(path, f"its number of {things} is {found:,}, but {RECORD} says {expected:,}")


def _verify(folder: Path, record: StoreRecord) -> None:
    for name, file in record.files.items():
        digest = hashlib.sha256()
        for block in read_data(folder / name, file.n_bytes):
            digest.update(block)
        if digest.hexdigest() != file.data_sha256:
            raise _foreign(folder / name, f"its checksum is not the one in {RECORD}")


def _foreign(path: Path, why: str) -> DataError:
    what = f"this file is damaged, or belongs to another store: {why}"
    return DataError(what, where=str(path), remedy=COPY_AGAIN)
