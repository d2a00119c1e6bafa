"""What has to be known about a protein before something can be scored, and how a model is asked for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from biofm.core.journal import key_of
from biofm.core.progress import no_progress
from biofm.inference.queries import Query, QueryRunner
from biofm.inference.windows import Span, frame, frame_values, spans
from biofm.modalities import Encoded, Tokenizer, Tokens

NOWHERE = np.empty(0, np.int64)

Answer = NDArray[np.float32]
"""What is known: one long array, as a journal keeps it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing to know.

    hidden: log-probabilities of the tokens that are counted (``Tokenizer.counted``, such as the 22 amino
    acids) at the unit ``place`` (from 0) while it is masked.
    shown: those at all units for which window ``place`` counts, with nothing masked, one after another.
    likelihood: the pseudo-log-likelihood of the sequence, each counted unit masked alone.
    shown likelihood: the same sum with nothing masked.
    """

    kind: Literal["hidden", "shown", "likelihood", "shown likelihood"]
    sequence: str
    place: int = 0


class ScoringModel:
    """A model that answers readings.

    It never sees more residues than in training: of a longer protein a masked residue is read in the window
    around it, moved inwards at the ends; shown ones in windows that overlap by half, each residue in the one
    in whose middle it lies.
    """

    def __init__(
        self, predictor: QueryRunner, tokenizer: Tokenizer, trained_length: int, sha256: str = ""
    ) -> None:
        """``sha256``, that of the model's weights, tells its answers from those of other models."""
        self.runner = predictor
        self.sha256 = sha256
        self.tokenizer = tokenizer
        self.window = trained_length - tokenizer.n_special
        self.letters = tokenizer.counted
        self.column = {tokenizer.vocabulary[token]: i for i, token in enumerate(self.letters)}

    def key(self, reading: Reading) -> bytes:
        """Tells an answer of this model from every other; it holds no sequence."""
        digest = _digest(reading.sequence)
        return key_of(self.sha256, str(self.window), reading.kind, digest, str(reading.place))

    def read(
        self, readings: Sequence[Reading], on_run: Callable[[int], None] = no_progress
    ) -> Iterator[Answer]:
        """The answers in order; all readings share their batches, each of which ``on_run`` hears of."""
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
        """How many tokens the model runs for a reading."""
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
        """The length of an answer; a likelihood is one float64."""
        match reading.kind:
            case "hidden":
                return len(self.letters)
            case "shown":
                span = spans(self.n_units(reading.sequence), self.window)[reading.place]
                return len(self.letters) * (span.stop - span.first)
            case "likelihood" | "shown likelihood":
                return 2

    def n_units(self, sequence: str) -> int:
        """How many units a sequence has, such as residues."""
        return len(self.tokenizer.modality.units(sequence))

    def n_unknown(self, sequence: str) -> int:
        """How many residues of a sequence the model has no token for."""
        return int(np.count_nonzero(self.tokenizer.encode(sequence) == self.tokenizer.unknown))

    def first_query(self, reading: Reading) -> list[Query]:
        """The first of the runs that a reading takes, if it takes any."""
        return list(islice(self._queries(reading), 1))

    def counted(self, sequence: str) -> NDArray[np.int64]:
        """The places (from 0) of a sequence's amino acids, which its likelihood is about."""
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
    """The first residue of the window with ``place`` in its middle, as far as the protein's ends allow."""
    return max(0, min(place - window // 2, n_residues - window))


def log_likelihood_of(answer: Answer) -> float:
    """The sum in the answer to a likelihood, which keeps it in float64."""
    return float(answer.view(np.float64)[0])


@lru_cache(maxsize=256)
def _digest(sequence: str) -> str:
    return key_of(sequence).hex()
