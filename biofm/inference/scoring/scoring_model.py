"""Scoring model: it computes the log-probabilities of tokens that a scoring method asks for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core.journal import key_of
from biofm.inference import Query, QueryRunner, Span, frame, frame_values, spans
from biofm.modalities import Encoded, Tokenizer, Tokens

NOWHERE = np.empty(0, np.int64)

Answer = NDArray[np.float32]
"""The answer of a model to one reading: a flat array, which a journal can keep as it is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Describes one question to a model about a sequence.

    There are four kinds:

    - hidden: the log-probabilities of all counted tokens (``Tokenizer.counted``, such as the 22 amino acids)
      at the unit ``place`` (counted from 0), while that unit is masked.
    - shown: the log-probabilities of all counted tokens at each unit for which window number ``place``
      answers, with nothing masked; the units follow each other in one flat array.
    - likelihood: the pseudo-log-likelihood of the sequence: each counted unit is masked alone, and the
      log-probabilities of the true tokens are added up.
    - shown likelihood: the same sum with nothing masked.

    Attributes:
        kind: What is asked.
        sequence: The sequence.
        place: A unit or a window of the sequence, from 0; it means nothing for the two likelihoods.
    """

    kind: Literal["hidden", "shown", "likelihood", "shown likelihood"]
    sequence: str
    place: int = 0


class ScoringModel:
    """Answers readings with a language model.

    The model never sees more residues at once than in training. In a longer protein, a masked residue is read
    in the window around it, which is moved inwards at the ends of the protein. Residues that are shown are
    read in windows that overlap by half; each residue is taken from the window in whose middle it lies.

    Args:
        runner: Runs the language model.
        tokenizer: The model's tokenizer.
        trained_length: Length of the sequences of training in tokens, special tokens included.
        sha256: The checksum of the model's weights. It keeps the answers of this model apart from those of
            other models in one journal.
    """

    def __init__(
        self, runner: QueryRunner, tokenizer: Tokenizer, trained_length: int, sha256: str = ""
    ) -> None:
        self.runner = runner
        self.sha256 = sha256
        self.tokenizer = tokenizer
        self.window = trained_length - tokenizer.n_special
        self.letters = tokenizer.counted
        self.column = {tokenizer.vocabulary[token]: i for i, token in enumerate(self.letters)}

    def key(self, reading: Reading) -> bytes:
        """Return the key of the answer to a reading in a journal.

        No other model or reading has this key, and no sequence can be read from it.

        Args:
            reading: The reading.
        """
        digest = _digest(reading.sequence)
        return key_of(self.sha256, str(self.window), reading.kind, digest, str(reading.place))

    def read(
        self, readings: Sequence[Reading], on_run: Callable[[int], None] = no_progress
    ) -> Iterator[Answer]:
        """Answer readings in order. They share batches.

        Args:
            readings: The readings.
            on_run: Called after each batch with its number of tokens.

        Raises:
            OptionError: A batch is too large for the memory.
        """
        queries = (query for reading in readings for query in self._queries(reading))
        answers = self.runner.predict(queries, on_run)
        for reading in readings:
            match reading.kind:
                case "hidden":
                    yield next(answers)[0, self.letters]
                case "shown":
                    yield next(answers)[:, self.letters].ravel()
                case "likelihood" | "shown likelihood":
                    yield np.array([self._log_likelihood(reading, answers)]).view(np.float32)

    def n_tokens(self, reading: Reading) -> int:
        """Return how many tokens the model processes to answer a reading.

        Args:
            reading: The reading.
        """
        n_residues = self.n_units(reading.sequence)
        n_run = min(n_residues, self.window) + self.tokenizer.n_special
        match reading.kind:
            case "hidden" | "shown":
                return n_run
            case "likelihood":
                return n_run * len(self.counted(reading.sequence))
            case "shown likelihood":
                return n_run * len(spans(n_residues, self.window))

    def n_values(self, reading: Reading) -> int:
        """Return the length of the answer in float32 values; a likelihood is one float64, which takes two.

        Args:
            reading: The reading.
        """
        match reading.kind:
            case "hidden":
                return len(self.letters)
            case "shown":
                span = spans(self.n_units(reading.sequence), self.window)[reading.place]
                return len(self.letters) * (span.stop - span.first)
            case "likelihood" | "shown likelihood":
                return 2

    def n_units(self, sequence: str) -> int:
        """Return how many units, such as residues, a sequence has.

        Args:
            sequence: The sequence.
        """
        return len(self.tokenizer.modality.units(sequence))

    def n_unknown(self, sequence: str) -> int:
        """Return how many residues the model reads as <unk>, because it has no token for them.

        Args:
            sequence: The sequence.
        """
        return int(np.count_nonzero(self.tokenizer.encode(sequence) == self.tokenizer.unknown))

    def first_query(self, reading: Reading) -> list[Query]:
        """Return a list with the first query of a reading; the list is empty if the reading needs no query.

        Args:
            reading: The reading.
        """
        return list(islice(self._queries(reading), 1))

    def counted(self, sequence: str) -> NDArray[np.int64]:
        """Return the places (from 0) of the units that count in a likelihood, such as the 22 amino acids.

        Args:
            sequence: The sequence.
        """
        return self._counted(self.tokenizer.encode(sequence))

    def _counted(self, tokens: Tokens) -> NDArray[np.int64]:
        return np.flatnonzero(np.isin(self.tokenizer.body(tokens), self.letters))

    def _queries(self, reading: Reading) -> Iterator[Query]:
        encoded = self.tokenizer.encoded(reading.sequence)
        match reading.kind:
            case "hidden":
                yield self._hidden(encoded, reading.place)
            case "shown":
                yield self._shown(encoded, self._spans(encoded.tokens)[reading.place])
            case "likelihood":
                yield from (self._hidden(encoded, int(place)) for place in self._counted(encoded.tokens))
            case "shown likelihood":
                yield from (self._shown(encoded, span) for span in self._spans(encoded.tokens))

    def _hidden(self, encoded: Encoded, place: int) -> Query:
        start = window_start(len(self.tokenizer.body(encoded.tokens)), place, self.window)
        at = np.array([self.tokenizer.n_before + place - start])
        return self._query(encoded, start, at, at)

    def _shown(self, encoded: Encoded, span: Span) -> Query:
        read = self.tokenizer.n_before + np.arange(span.first - span.start, span.stop - span.start)
        return self._query(encoded, span.start, NOWHERE, read)

    def _query(
        self, encoded: Encoded, start: int, masked: NDArray[np.int64], read: NDArray[np.int64]
    ) -> Query:
        where = (start, self.window, self.tokenizer)
        values = frame_values(encoded.values, *where)
        return Query(frame(encoded.tokens, *where), masked, read, values)

    def _log_likelihood(self, reading: Reading, answers: Iterator[NDArray[np.float32]]) -> float:
        tokens = self.tokenizer.encode(reading.sequence)
        body, places = self.tokenizer.body(tokens), self._counted(tokens)
        if reading.kind == "likelihood":
            return sum(float(next(answers)[0, body[place]]) for place in places)
        rows = np.concatenate([next(answers) for _ in self._spans(tokens)])
        return float(rows[places, body[places]].sum(dtype=np.float64))

    def _spans(self, tokens: Tokens) -> list[Span]:
        return spans(len(self.tokenizer.body(tokens)), self.window)


def window_start(n_residues: int, place: int, window: int) -> int:
    """Return the first residue of the window around ``place``, which is centred where the ends allow it."""
    return max(0, min(place - window // 2, n_residues - window))


def log_likelihood_of(answer: Answer) -> float:
    """Return the log-likelihood in the answer to a likelihood reading, which holds one float64."""
    return float(answer.view(np.float64)[0])


@lru_cache(maxsize=256)
def _digest(sequence: str) -> str:
    return key_of(sequence).hex()
