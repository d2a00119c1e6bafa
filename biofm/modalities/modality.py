"""Modalities say what models read, and tokenizers turn their records into token numbers.

A model's family names its tokenizer, and a tokenizer its modality. Code that needs to know how many special
tokens stand around a sequence, or what a unit is called, asks these objects. No code asks which modality it
has.
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
    """Holds the words for a modality's records and units, in singular and plural.

    Attributes:
        item, items: A record, such as protein and proteins.
        unit, units: What its sequences are made of, such as residue and residues.
        kind, kinds: The kinds of units that models are judged on, such as amino acid and amino acids.
    """

    item: str
    items: str
    unit: str
    units: str
    kind: str
    kinds: str


class Clean(Protocol):
    """Cleans the text of one record.

    It counts in ``notices`` what it changes, under phrases that people can read, and raises DataError for a
    record that is not of the modality.
    """

    def __call__(self, record: Record, notices: Counter[str], *, gaps: Gaps = "drop") -> Record: ...


class Read(Protocol):
    """Reads the records of an opened file in its order, in flat memory, each with the columns that travel
    with it.

    ``name`` is the file's name, which shows its format and stands in messages; ``word`` names the format if
    the name does not; the columns are those of a table. The stream is left open. DataError is raised for a
    fault of the file; ``Clean`` finds the faults of single records.
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
    """Describes one kind of biological record: its name for options and files, its words and its rules.

    Attributes:
        name: The name for ``--as`` and for outputs.
        words: What people call its records and their units.
        read: Reads the records of a file; see ``Read``.
        clean: Cleans a record; see ``Clean``.
        refuse_other: Raises DataError for a record that looks like another modality although all its letters
            are allowed. It is not called if the user names the modality with ``--as``.
        units: Returns the units of a clean text, such as its residues, each as it is spelled.
        codes: Returns a number below ``n_codes`` for each unit, by which baselines distinguish them.
        n_codes: The number of these codes.
        has_variants: Whether its sequences have variants in the notations of ``biofm_datasets.variants``.
        tokenizer: Makes the tokenizer of a token store that is made for no particular model.
        default_model: The name of the model that is used if none is named.
        doubt: Returns the phrase of a notice for a record that may be of another modality and is read all the
            same, or "" for none. It is not called if the user names the modality. None: no record is doubted.
        formats: The suffixes of files, in lower case, that only this modality reads, such as ".vcf".
        group: Returns the group of a record, such as its chromosome or donor, or "" for none; a split by
            groups uses it if no column is named. None: the records of the modality have no groups.
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
    doubt: Callable[[Record], str] | None = None
    formats: tuple[str, ...] = ()
    group: Callable[[Record], str] | None = None

    def accept(
        self, record: Record, notices: Counter[str], *, gaps: Gaps = "drop", insists: bool = False
    ) -> Record:
        """Return a caller's record, cleaned.

        Args:
            record: The record.
            notices: Counts what is changed, under phrases that people can read.
            gaps: What becomes of the gaps of an alignment: "drop", "keep" or "refuse".
            insists: Whether the user named this modality, so that letters of another one are accepted without
                a notice.

        Raises:
            DataError: The record is not of the modality, or looks like another one.
        """
        if not insists:
            self.refuse_other(record)
        clean = self.clean(record, notices, gaps=gaps)
        if not insists and self.doubt is not None and (phrase := self.doubt(record)):
            notices[phrase] += 1
        return clean


def check_asked(asked: str | None, modality: Modality) -> None:
    """Raise OptionError if the model does not read the modality that the user asked for.

    Args:
        asked: The name of the modality; None if the user named none.
        modality: The modality that the model reads.
    """
    if asked == "":
        raise OptionError(
            "the name of the modality is empty", where="--as", remedy=f"Give {modality.name}, or leave it out"
        )
    if asked not in (None, modality.name):
        what = f"the model reads {modality.words.items}, but {asked} was asked for"
        raise OptionError(what, where="--as", remedy=f"Give a model that reads {asked} with --model")


class Encoded(NamedTuple):
    """Holds a sequence as a model reads it.

    Attributes:
        tokens: Its tokens, with the special ones around them.
        values: One number for each token; None for models that read none.
    """

    tokens: Tokens
    values: NDArray[np.float32] | None = None


class Tokenizer(ABC):
    """Turns the text of a clean record into token numbers.

    ``dtype`` is the smallest unsigned integer that holds every token number. ``has_values`` says whether a
    number comes with each token, such as a gene's expression.

    Args:
        name: The name of the alphabet, for messages.
        vocabulary: The spelling of each token; a token's number is its place.
        before: The special tokens before each sequence, which are none of its units.
        behind: The special tokens behind it.
        scored: The tokens that training hides and that held-out perplexity is computed on, in the order of
            their numbers.
        counted: The tokens that stand for exactly one unit; scores and perplexities of single sequences use
            these.
        unknown: The token for units that the vocabulary lacks.
        mask: The token that hides a unit.
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
        """Return the token numbers of a sequence, with the special tokens around it.

        Args:
            sequence: The text of a clean record.
        """

    def values(self, sequence: str) -> NDArray[np.float32] | None:
        """Return one number for each token of ``encode``; None if ``has_values`` is false.

        Args:
            sequence: The text of a clean record.
        """
        return None

    def encoded(self, sequence: str) -> "Encoded":
        """Return the tokens and the values of a sequence.

        Args:
            sequence: The text of a clean record.
        """
        return Encoded(self.encode(sequence), self.values(sequence))

    @abstractmethod
    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """Return the text of some tokens.

        Args:
            tokens: The token numbers.
        """

    def encode_all(self, sequences: Sequence[str]) -> tuple[Tokens, NDArray[np.int64]]:
        """Return the token numbers of many sequences, one after the other, and the number of tokens of each.

        Args:
            sequences: The texts of clean records.
        """
        encoded = [self.encode(sequence) for sequence in sequences]
        lengths = np.array([len(tokens) for tokens in encoded], np.int64)
        return np.concatenate([np.empty(0, self.dtype), *encoded]), lengths

    @property
    def alphabet(self) -> Alphabet:
        """The meaning of the token numbers, which is kept in token stores and predictors."""
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
        """The entries of an output's provenance that say what was read."""
        words = self.modality.words
        return {
            "modality": self.modality.name,
            "items": words.items,
            "units": words.units,
            "alphabet_sha256": self.alphabet.sha256,
        }

    @property
    def special(self) -> tuple[int, ...]:
        """The numbers of the tokens that stand around a sequence."""
        return (*self.before.tolist(), *self.behind.tolist())

    @property
    def n_before(self) -> int:
        return len(self.before)

    @property
    def n_special(self) -> int:
        """The number of special tokens that stand around each sequence."""
        return len(self.before) + len(self.behind)

    def body(self, tokens: Tokens) -> Tokens:
        """Return the tokens of a sequence without the special ones around it.

        Args:
            tokens: The tokens of ``encode``.
        """
        return tokens[self.n_before : len(tokens) - len(self.behind)]

    def frame(self, body: Tokens) -> Tokens:
        """Return tokens with the special ones around them, as the model expects a sequence.

        Args:
            body: The tokens of a sequence, or of a part of it.
        """
        return np.concatenate([self.before, body, self.behind])
