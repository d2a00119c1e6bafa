"""Items are records with their tokens, as all verbs use them. A record is tokenised once, when it is read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from biofm_datasets import Cell, Record
from biofm_datasets.arrays import Tokens
from numpy.typing import NDArray

from biofm.core.journal import key_of
from biofm.modalities.modality import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Holds a record with its tokens.

    Attributes:
        number: Its place among the records that a verb works on, from 1.
        record: Its number in the input, from 1.
        id: Its id.
        where: Its place in the input, for messages.
        text: The text that was tokenised.
        tokens: The token numbers, with the special tokens around them.
        values: One number for each token; None for models that read none.
        n_units: The number of its units, such as residues.
        key: A digest that is equal for records that a model cannot tell apart; these are run once.
        columns: Cells that travel with the record into the output; ``key`` ignores them.
    """

    number: int
    record: int
    id: str
    where: str
    text: str
    tokens: Tokens
    values: NDArray[np.float32] | None
    n_units: int
    key: bytes
    columns: Mapping[str, Cell]


def items_of(records: Iterable[Record], tokenizer: Tokenizer, notices: Counter[str]) -> Iterator[Item]:
    """Yield the records with their tokens, in order.

    Args:
        records: Clean records.
        tokenizer: The tokenizer of the model.
        notices: Counts the units that the vocabulary lacks.
    """
    unknown = f"{tokenizer.modality.words.units} read as <unk>"
    for number, record in enumerate(records, start=1):
        tokens, values = tokenizer.encoded(record.sequence)
        if n_unknown := int(np.count_nonzero(tokens == tokenizer.unknown)):
            notices[unknown] += n_unknown
        key = key_of(record.sequence) if values is None else key_of(record.sequence, values.tobytes().hex())
        yield Item(
            number=number,
            record=record.number,
            id=record.id,
            where=record.where,
            text=record.sequence,
            tokens=tokens,
            values=values,
            n_units=len(tokens) - tokenizer.n_special,
            key=key,
            columns=record.columns,
        )
