"""Readers of the inputs of token stores: they turn records into blocks of tokens, and name what cannot be an
input.

Memory does not grow with the files: a block has about a million residues.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from biofm_datasets import DataError, Record
from biofm_datasets.formats import is_table
from biofm_datasets.ids import watch_ids
from biofm_datasets.splits import SplitOptions, key_of_cell
from biofm_datasets.store import open_store
from biofm_datasets.store.files import RECORD
from numpy.typing import NDArray

from biofm.core import sha256_of
from biofm.core.errors import InputError, input_errors
from biofm.gate import STANDARD_INPUT
from biofm.modalities import RecordOptions, Tokenizer, Tokens, check_asked, note_skipped

BLOCK_RESIDUES = 1 << 20


class Block(NamedTuple):
    """Holds some records of a file, as tokens laid one after the other.

    ``n_read`` counts the records of the file so far, including skipped ones. ``n_units`` counts the units of
    the block, for example residues. ``keys`` decide the part of the split of each record; None if the split
    needs none.
    """

    ids: list[str]
    tokens: Tokens
    lengths: NDArray[np.int64]
    keys: NDArray[np.uint64] | None
    n_read: int
    n_units: int
    values: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(RecordOptions):
    """Holds the options by which files are read and will be split.

    Attributes:
        split: Options of the split.
    """

    split: SplitOptions = SplitOptions()  # noqa: RUF009  # immutable


class BlockReader:
    """Turns the records of files into blocks of tokens.

    Whenever a block is yielded, the notices cover exactly the records up to it. If one of the files is a
    table, the options of columns apply to tables alone.

    Args:
        reading: Options of reading and splitting.
        names: Names of all files that will be read.
        tokenizer: Turns sequences into tokens.
        notices: Counts what is changed or left out.
    """

    def __init__(
        self, reading: Reading, names: Sequence[str], tokenizer: Tokenizer, notices: Counter[str]
    ) -> None:
        self.reading = reading
        self._has_tables = any(map(is_table, names))
        self.tokenizer = tokenizer
        self.notices = notices
        self._ids: list[str] = []
        self._sequences: list[str] = []
        self._keys: list[int] = []

    def read(self, stream: BinaryIO, name: str, n_done: int = 0) -> Iterator[Block]:
        """Yield the blocks of a file.

        Args:
            stream: The opened file.
            name: Its name, for messages.
            n_done: Number of records to skip, because they were read before.

        Raises:
            DataError: The file is faulty, or a record is and faulty records are not skipped.
            InputError: All records are faulty.
        """
        modality = self.tokenizer.modality
        check_asked(self.reading.modality, modality)
        insists = self.reading.modality is not None
        skips = self.reading.on_error == "skip"
        column, id_column = self.reading.column, self.reading.id_column
        if self._has_tables and not is_table(name):
            column = id_column = None
        label_column = self.reading.split.column or None
        records = modality.read(stream, name, column=column, id_column=id_column, label_column=label_column)
        repeated: Counter[str] = Counter()
        records = watch_ids(records, repeated)
        n_good = n_read = n_done
        n_residues = 0
        for n_read, record in enumerate(islice(records, n_done, None), start=n_done + 1):
            try:
                key = self._key(record)
                clean = modality.accept(record, self.notices, gaps=self.reading.gaps, insists=insists)
            except DataError as fault:
                if not skips:
                    raise
                note_skipped(fault, self.notices)
                continue
            self._ids.append(clean.id)
            self._sequences.append(clean.sequence)
            if key is not None:
                self._keys.append(key)
            n_good += 1
            n_residues += len(clean.sequence)
            if n_residues >= BLOCK_RESIDUES:
                yield self._block(n_read)
                n_residues = 0
        if not n_good:
            remedy = "Without --on-error skip the first fault is shown"
            raise InputError("every record was at fault, nothing is left", where=name, remedy=remedy)
        if self._ids:
            yield self._block(n_read)
        self.notices.update(repeated)  # at the end: a resumed read counts repeated ids from the start again

    def _key(self, record: Record) -> int | None:
        """Return the key by which the split assigns a record: of the cell in the split's column, or of the
        record's group.
        """
        split = self.reading.split
        if not split.needs_keys:
            return None
        if split.column:
            return key_of_cell(record.label, split, record.where)
        group = self.tokenizer.modality.group
        assert group is not None, "options check that the modality has groups"
        return key_of_cell(group(record), split, record.where)

    def _block(self, n_read: int) -> Block:
        tokens, lengths = self.tokenizer.encode_all(self._sequences)
        keys = np.array(self._keys, np.uint64) if self.reading.split.needs_keys else None
        n_units = len(tokens) - self.tokenizer.n_special * len(lengths)
        block = Block(self._ids, tokens, lengths, keys, n_read, n_units, self._values())
        self._ids, self._sequences, self._keys = [], [], []
        return block

    def _values(self) -> NDArray[np.float32] | None:
        if not self.tokenizer.has_values:
            return None
        found = map(self.tokenizer.values, self._sequences)
        return np.concatenate([np.empty(0, np.float32), *(one for one in found if one is not None)])


class Input(NamedTuple):
    """Holds an opened file.

    Attributes:
        stream: The opened file.
        name: Its name, for messages and records.
        sha256: Its checksum.
        weight: Share of the file in a mixture. None stands for its share of all sequences.
    """

    stream: BinaryIO
    name: str
    sha256: str
    weight: float | None


def open_inputs(
    streams: Sequence[BinaryIO], paths: Sequence[Path], weights: Sequence[float] | None = None
) -> list[Input]:
    """Return the opened files with their names, checksums and weights.

    Args:
        streams: The opened files.
        paths: Their paths, in the same order.
        weights: Share of each file in a mixture. None gives each its share of all sequences.
    """
    named = zip(streams, short_names(paths), weights or repeat(None, len(paths)), strict=True)
    return [Input(stream, name, sha256_of([stream]), weight) for stream, name, weight in named]


def check_not_standard_input(paths: Sequence[Path], modality: str | None = None) -> None:
    """Raise InputError if one of the paths is standard input.

    Args:
        paths: Paths of the inputs.
        modality: Name of the modality of the inputs. None stands for the default modality.
    """
    if STANDARD_INPUT in paths:
        from biofm.models import modality_named  # imports torch, needed only for the message

        items = modality_named(modality).words.items
        what = "data sets are read from files, not from standard input"
        remedy = f"Write the {items} into a file first"
        raise InputError(what, where="-", remedy=remedy)


def check_store_reading(store: Path, reading: Reading) -> None:
    """Raise InputError if ``reading`` sets an option that was already decided when the store was prepared.

    Args:
        store: Folder of the store.
        reading: Options of reading.
    """
    if reading.column is not None:
        what, remedy = "a column was chosen, but a store has no columns", "Leave the column out"
        raise InputError(what, where=str(store), remedy=remedy)
    if reading.gaps != Reading().gaps:
        what, remedy = "the gaps of a store were handled when it was prepared", "Leave --gaps out"
        raise InputError(what, where=str(store), remedy=remedy)


def modality_of(inputs: Sequence[Path], asked: str | None) -> str:
    """Return the name of the modality of the inputs: the one of a store, else ``asked``, else the one of the
    files' suffix.

    Args:
        inputs: Paths of the inputs, or the folder of a store.
        asked: Name of the modality that the user asked for; None if there is none.

    Raises:
        InputError: The store holds another modality than was asked for, or is damaged.
    """
    if not inputs or not (inputs[0] / RECORD).is_file():
        from biofm.models import modality_named  # imports torch

        return asked or modality_named(files=inputs).name
    with input_errors():
        stored = open_store(inputs[0]).record.alphabet.modality
    if asked not in (None, stored):
        what = f"this store holds {stored}, and {asked} was asked for"
        raise InputError(what, where=str(inputs[0]), remedy="Leave --as out, or give another store")
    return stored


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files, with their folders if two files share a name.

    Args:
        paths: Paths of the files.
    """
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]
