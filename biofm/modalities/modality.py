"""What a model reads: a modality, and the tokenizer that turns its records into token numbers.

A model's family names its tokenizer, and a tokenizer its modality. Code that needs to know how many special
tokens stand around a sequence, or what a unit is called, asks them; nothing asks which modality it has.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from biofm_datasets import Record
from biofm_datasets.arrays import Tokens
from biofm_datasets.protein import Gaps
from biofm_datasets.store import Alphabet
from numpy.typing import NDArray

from biofm.core.errors import OptionError


class Words(NamedTuple):
    """What people call a record of the modality, the units that it is made of, and the kinds of units that
    models are judged on, each as one and as several.
    """

    item: str
    items: str
    unit: str
    units: str
    kind: str
    kinds: str


class Clean(Protocol):
    """Puts the text of one record in order. Raises DataError where it is none of the modality.

    What is changed is counted in ``notices`` under a phrase that a person can read.
    """

    def __call__(self, record: Record, notices: Counter[str], *, gaps: Gaps = "drop") -> Record: ...


class Read(Protocol):
    """Reads the records of an opened file in its order, in flat memory, each with the columns that travel
    with it. ``name`` is the file's name, for its format and for messages; ``word`` says the format that it
    does not; the columns are those of a table. The stream is left open.

    Raises DataError for a fault of the file. One record's fault is left to ``Clean``.
    """

    def __call__(
        self,
        stream: BinaryIO,
        name: str,
        *,
        column: str | None = None,
        id_column: str | None = None,
        label_column: str | None = None,
        word: str | None = None,
    ) -> Iterator[Record]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Modality:
    """One kind of biological record: its name for options and files, its words, its rules.

    - ``read``: see ``Read``; ``formats``: the suffixes in lower case that it alone reads, such as ".vcf".
    - ``clean``: see ``Clean``.
    - ``refuse_other``: raises DataError for a record whose letters speak for another modality, though each of
      them is allowed. Whoever names the modality with ``--as`` insists, and is not asked.
    - ``units``: the units of a clean text one after the other, each as it is spelled, such as its residues.
    - ``codes``: a number below ``n_codes`` for each of these units, by which baselines tell them apart.
    - ``has_variants``: whether its sequences have variants in the notations of ``biofm_datasets.variants``.
    - ``tokenizer``: makes the one whose alphabet a token store has when it is made for no model.
    - ``default_model``: the name of the model that is taken where none is named.
    - ``group``: what a record must not be parted from, such as its chromosome or its donor; "" where it is of
      no group. A split by groups goes by it where no column is named. None: the modality knows of none.
    """

    name: str
    words: Words
    read: Read
    clean: Clean
    refuse_other: Callable[[Record], None]
    units: Callable[[str], Sequence[str]]
    codes: Callable[[str], NDArray[np.int64]]
    n_codes: int
    has_variants: bool
    tokenizer: "Callable[[], Tokenizer]"
    default_model: str
    formats: tuple[str, ...] = ()
    group: Callable[[Record], str] | None = None

    def accept(
        self, record: Record, notices: Counter[str], *, gaps: Gaps = "drop", insists: bool = False
    ) -> Record:
        """A record that a caller gave, in order.

        Raises DataError: it is none of the modality; or its letters speak for another one, and the caller,
        who did not name this one, does not ``insist``.
        """
        if not insists:
            self.refuse_other(record)
        return self.clean(record, notices, gaps=gaps)


def check_asked(asked: str | None, modality: Modality) -> None:
    """Raises OptionError where ``asked``, the name of a modality or None, is not what the model reads."""
    if asked == "":
        raise OptionError(
            "no modality is named", where="--as", remedy=f"Give {modality.name}, or leave it out"
        )
    if asked not in (None, modality.name):
        what = f"the model reads {modality.words.items}, and {asked} was asked for"
        raise OptionError(what, where="--as", remedy=f"Give a model that reads {asked} with --model")


class Encoded(NamedTuple):
    """A sequence as a model reads it: its tokens, with the special ones around them, and a number with each
    where the model reads such.
    """

    tokens: Tokens
    values: NDArray[np.float32] | None = None


class Tokenizer(ABC):
    """Turns the text of a clean record into token numbers.

    - ``name``: that of the alphabet, for messages.
    - ``vocabulary``: how each token is spelled; the number of a token is its place.
    - ``dtype``: the smallest unsigned integer that holds every token number.
    - ``before`` and ``behind``: the special tokens that stand around each sequence and are none of its units.
    - ``scored``: the tokens that training hides, and that held-out perplexity is about, in the order of their
      numbers.
    - ``counted``: the tokens that stand for exactly one unit. Scores and perplexities of single sequences are
      about these.
    - ``has_values``: whether a number comes with each token, such as a gene's expression.
    - ``unknown`` and ``mask``: the token of what the vocabulary lacks, and the one that hides a unit.
    """

    def __init__(
        self,
        name: str,
        vocabulary: tuple[str, ...],
        *,
        before: tuple[int, ...],
        behind: tuple[int, ...],
        scored: Sequence[int],
        counted: Sequence[int],
        unknown: int,
        mask: int,
    ) -> None:
        self.name, self.vocabulary = name, vocabulary
        self.dtype = np.min_scalar_type(max(1, len(vocabulary) - 1))
        self.before, self.behind = np.array(before, self.dtype), np.array(behind, self.dtype)
        self.scored, self.counted = np.array(scored, self.dtype), np.array(counted, self.dtype)
        self.unknown, self.mask = unknown, mask

    has_values = False

    @property
    @abstractmethod
    def modality(self) -> Modality: ...

    @abstractmethod
    def encode(self, sequence: str) -> Tokens:
        """The token numbers of one sequence, with the special tokens around it."""

    def values(self, sequence: str) -> NDArray[np.float32] | None:
        """One number for each token of ``encode``; None where ``has_values`` is false."""
        return None

    def encoded(self, sequence: str) -> "Encoded":
        return Encoded(self.encode(sequence), self.values(sequence))

    @abstractmethod
    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """The text of some tokens."""

    def encode_all(self, sequences: Sequence[str]) -> tuple[Tokens, NDArray[np.int64]]:
        """The token numbers of many sequences one after the other, and how many each has."""
        encoded = [self.encode(sequence) for sequence in sequences]
        lengths = np.array([len(tokens) for tokens in encoded], np.int64)
        return np.concatenate([np.empty(0, self.dtype), *encoded]), lengths

    @property
    def alphabet(self) -> Alphabet:
        """What the token numbers mean, as token stores and predictors keep it."""
        return Alphabet(
            name=self.name,
            tokens=self.vocabulary,
            modality=self.modality.name,
            units=self.modality.words.units,
            standard=self.modality.words.kinds,
            before=tuple(self.before.tolist()),
            behind=tuple(self.behind.tolist()),
            scored=tuple(self.scored.tolist()),
        )

    @property
    def provenance(self) -> dict[str, str]:
        """What an output says of what was read."""
        words = self.modality.words
        return {
            "modality": self.modality.name,
            "items": words.items,
            "units": words.units,
            "alphabet_sha256": self.alphabet.sha256,
        }

    @property
    def special(self) -> tuple[int, ...]:
        """The tokens around a sequence, by their numbers."""
        return (*self.before.tolist(), *self.behind.tolist())

    @property
    def n_before(self) -> int:
        return len(self.before)

    @property
    def n_special(self) -> int:
        """How many special tokens stand around each sequence."""
        return len(self.before) + len(self.behind)

    def body(self, tokens: Tokens) -> Tokens:
        """The tokens of a sequence without the special ones around it."""
        return tokens[self.n_before : len(tokens) - len(self.behind)]

    def frame(self, body: Tokens) -> Tokens:
        """Some tokens of a sequence with the special ones around them, as the model expects a sequence."""
        return np.concatenate([self.before, body, self.behind])
