"""Files of records as blocks of tokens, in memory that does not grow."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, NamedTuple

import numpy as np
from biofm_datasets import DataError, Record
from biofm_datasets.formats import is_table
from biofm_datasets.ids import watch_ids
from biofm_datasets.splits import SplitOptions, key_of_cell
from numpy.typing import NDArray

from biofm.core.errors import InputError
from biofm.modalities import Tokenizer, Tokens
from biofm.modalities.modality import check_asked
from biofm.modalities.records import SKIPPED, RecordOptions

BLOCK_RESIDUES = 1 << 20


class Block(NamedTuple):
    """Some records, their tokens one after the other, and what a split by parts or groups goes by.

    ``n_read`` counts the records of the file so far, those that were skipped included; ``n_units`` are those
    of the block, such as residues.
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
    """How files are read, and what their split goes by."""

    split: SplitOptions = SplitOptions()  # noqa: RUF009  # immutable


class BlockReader:
    """Turns the records of files into blocks. What is changed or left out is counted in ``notices``, which
    agree with the last block whenever one is given out. Columns are those of the tables, if any of ``names``
    is one.
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
        """The blocks behind the first ``n_done`` records.

        Raises DataError: the file is at fault, or a record and it is not to be skipped. InputError: all are.
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
            except DataError:
                if not skips:
                    raise
                self.notices[SKIPPED] += 1
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
        self.notices.update(repeated)  # behind the last block: a read that goes on counts all of them again

    def _key(self, record: Record) -> int | None:
        """What the split goes by: a cell of its column, or the record's own group."""
        split = self.reading.split
        if not split.needs_keys:
            return None
        if split.column:
            return key_of_cell(record.label, split, record.where)
        group = self.tokenizer.modality.group
        assert group is not None, "the options of the split were told that there is one"
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
