"""Items: records with their tokens, as all verbs work on them. A record is tokenised once, when it is
read.
"""

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
    """A record with its tokens.

    - ``number``: its place among the records that a verb works on, from 1; ``record``: its number in the
      input.
    - ``where``: its place in the input, for messages.
    - ``text``: what was tokenised; ``tokens``: the token numbers, with the special ones around them.
    - ``values``: one number a token, for models that read such; else None.
    - ``n_units``: how many units it has, such as residues.
    - ``key``: equal for records that a model cannot tell apart, which are run once.
    - ``columns``: what travels with the record into the output; no part of ``key``.
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
    """Yield the records with their tokens, in order. ``notices`` counts units that the vocabulary lacks."""
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
