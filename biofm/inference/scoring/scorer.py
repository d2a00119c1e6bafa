"""Scores of many variants at once: what they need is run once, together, and kept for a while."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from biofm.inference.scoring.methods import Method, Variant, readings_of, score_of
from biofm.inference.scoring.readings import Key, Reader, Reading

KEPT_BYTES = 64 << 20  # the answers of some 700,000 masked places


def _unheard(n_tokens: int, share: float) -> None:
    """Progress that nobody watches."""


class Scorer:
    """Models, and the method by which they score."""

    def __init__(self, readers: Sequence[Reader], method: Method) -> None:
        self.readers = readers
        self.method = method
        self._kept = [_Kept(KEPT_BYTES // len(readers)) for _ in readers]

    def score(
        self, variants: Sequence[Variant], on_read: Callable[[int, float], None] = _unheard
    ) -> NDArray[np.float32]:
        """Scores, shape (variants, models). Each place of a protein is run once, however many variants share
        it.

        ``on_read`` hears, answer by answer, how many tokens went through a model and the share of the whole
        work that is done.
        """
        needed = [self._needed(number, variants) for number in range(len(self.readers))]
        n_total = sum(
            reader.n_tokens(reading)
            for reader, readings in zip(self.readers, needed, strict=True)
            for reading in readings.values()
        )
        n_done = 0
        scores = np.empty((len(variants), len(self.readers)), np.float32)
        for number, (reader, kept) in enumerate(zip(self.readers, self._kept, strict=True)):
            readings = list(needed[number].values())
            for reading, answer in zip(readings, reader.read(readings), strict=True):
                n_tokens = reader.n_tokens(reading)
                kept.put(reading.key, answer)
                n_done += n_tokens
                on_read(n_tokens, n_done / n_total)
            scores[:, number] = [
                score_of(variant, self.method, reader.window, kept.answers) for variant in variants
            ]
            kept.forget_oldest()
        return scores

    def is_windowed(self, variant: Variant) -> bool:
        """Whether a model saw this protein by windows."""
        n_residues = len(variant.wild_type)
        if variant.method(self.method) == "pseudo-perplexity":
            n_residues = max(n_residues, len(variant.mutated))
        return any(n_residues > reader.window for reader in self.readers)

    def _needed(self, number: int, variants: Sequence[Variant]) -> dict[Key, Reading]:
        """What model ``number`` has to read anew."""
        reader, kept = self.readers[number], self._kept[number]
        readings = {
            reading.key: reading
            for variant in variants
            for reading in readings_of(variant, self.method, reader.window)
        }
        return {key: reading for key, reading in readings.items() if not kept.refresh(key)}


class _Kept:
    """Answers by their keys, the ones that were needed last longest."""

    def __init__(self, limit_bytes: int) -> None:
        self.answers: OrderedDict[Key, NDArray[np.floating]] = OrderedDict()
        self._limit_bytes = limit_bytes
        self._n_bytes = 0

    def refresh(self, key: Key) -> bool:
        """Whether the answer is there; if so it becomes the youngest."""
        if key in self.answers:
            self.answers.move_to_end(key)
        return key in self.answers

    def put(self, key: Key, answer: NDArray[np.floating]) -> None:
        self.answers[key] = answer
        self._n_bytes += answer.nbytes

    def forget_oldest(self) -> None:
        """Down to the limit; not before everything at hand is scored."""
        while self._n_bytes > self._limit_bytes:
            _, answer = self.answers.popitem(last=False)
            self._n_bytes -= answer.nbytes
