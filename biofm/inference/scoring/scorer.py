"""Scores of many variants at once: what they need is found first, and run once and together."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm.core.choices import ScoreMethod
from biofm.core.errors import ModelError
from biofm.core.progress import no_progress
from biofm.inference.scoring.methods import Unscored, Variant, readings_of, score_of
from biofm.inference.scoring.readings import Answer, Reading, ScoringModel
from biofm.modalities import Modality
from biofm.models.finiteness import not_finite, reason_of


class Need(NamedTuple):
    """A reading, and the number of the model that is to answer it."""

    model: int
    reading: Reading


class Scorer:
    """Models, and the method by which they score."""

    def __init__(self, readers: Sequence[ScoringModel], method: ScoreMethod) -> None:
        self.readers = readers
        self.method = method
        self.modality = _read_by_all(readers)

    def needs(self, variant: Variant) -> dict[bytes, Need]:
        """By key what must be known to score a variant. Variants that share a place of a protein share it."""
        return {
            reader.key(reading): Need(model, reading)
            for model, reader in enumerate(self.readers)
            for reading in readings_of(variant, self.method, reader.window)
        }

    def n_tokens(self, need: Need) -> int:
        """How many tokens a model runs for it."""
        return self.readers[need.model].n_tokens(need.reading)

    def n_values(self, need: Need) -> int:
        """The length of a model's answer to it."""
        return self.readers[need.model].n_values(need.reading)

    def read(
        self, needs: Mapping[bytes, Need], on_run: Callable[[int], None] = no_progress
    ) -> dict[bytes, Answer]:
        """The answers; ``on_run`` hears of each batch how many tokens it ran."""
        answers: dict[bytes, Answer] = {}
        for model, reader in enumerate(self.readers):
            own = {key: need.reading for key, need in needs.items() if need.model == model}
            answers.update(zip(own, reader.read(list(own.values()), on_run), strict=True))
        return answers

    def score(self, variants: Sequence[Variant], answers: Mapping[bytes, Answer]) -> NDArray[np.float32]:
        """Scores, shape (variants, models), from the answers to all their ``needs``."""
        scores = np.empty((len(variants), len(self.readers)), np.float32)
        for model, reader in enumerate(self.readers):
            answer = _looked_up(answers, reader)
            scores[:, model] = [score_of(variant, self.method, reader, answer) for variant in variants]
        return scores

    def read_and_score(self, cases: Sequence[Variant | Unscored]) -> NDArray[np.float32]:
        """Scores, shape (cases, models), everything in memory; NaN of what is unscored. Raises as ``check``,
        counting from 1.
        """
        numbered = {number: one for number, one in enumerate(cases, 1) if isinstance(one, Variant)}
        needs = {key: need for variant in numbered.values() for key, need in self.needs(variant).items()}
        scores = self.score(list(numbered.values()), self.read(needs))
        self.check(scores, [f"variant {number}" for number in numbered])
        of_all = np.full((len(cases), len(self.readers)), np.nan, np.float32)
        of_all[np.array(list(numbered), np.int64) - 1] = scores
        return of_all

    def check(self, scores: NDArray[np.float32], places: Sequence[str]) -> None:
        """Raises ModelError or OptionError for the first row with a score that is NaN, because its model's
        numbers are not finite; ``places`` are those of the rows.
        """
        for row, model in np.argwhere(np.isnan(scores)):
            raise not_finite(self.readers[model].runner.model, places[row])

    def reason(self, names: Sequence[str], is_empty: NDArray[np.bool_]) -> str | None:
        """Why the scores ``is_empty`` of a row by the models of these names are; None of a whole row."""
        at_fault = [
            f"{name}: {reason_of(reader.runner.dtype)}"
            for name, reader, it in zip(names, self.readers, is_empty, strict=True)
            if it
        ]
        return "; ".join(at_fault) or None

    def is_windowed(self, variant: Variant) -> bool:
        """Whether a model sees this protein by windows."""
        n_residues = len(variant.wild_type)
        if variant.method(self.method) == "pseudo-perplexity":
            n_residues = max(n_residues, len(variant.mutated))
        return any(n_residues > reader.window for reader in self.readers)


def _read_by_all(readers: Sequence[ScoringModel]) -> Modality:
    """What the models read. Raises ModelError: not all read the same, or it has no variants."""
    modalities = {it.name: it for it in (reader.tokenizer.modality for reader in readers)}
    if len(modalities) > 1:
        what = f"one model reads {', another '.join(it.words.items for it in modalities.values())}"
        raise ModelError(what, where="--model", remedy="Give models that all read the same")
    (modality,) = modalities.values()
    if not modality.has_variants:
        what = f"this model reads {modality.words.items}, whose variants nobody here can read"
        raise ModelError(what, where="--model", remedy="Give another model")
    return modality


def _looked_up(answers: Mapping[bytes, Answer], reader: ScoringModel) -> Callable[[Reading], Answer]:
    return lambda reading: answers[reader.key(reading)]
