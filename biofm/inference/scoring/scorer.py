"""The scorer computes the scores of many variants; each model answers each question only once."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core.choices import ScoreMethod
from biofm.core.errors import ModelError
from biofm.inference.scoring.methods import Unscored, Variant, readings_of, score_of
from biofm.inference.scoring.scoring_model import Answer, Reading, ScoringModel
from biofm.modalities import Modality
from biofm.models.finiteness import describe_not_finite, not_finite


class Need(NamedTuple):
    """Describes a reading that a score needs, and the number (from 0) of the model that must answer it."""

    model_number: int
    reading: Reading


class Scorer:
    """Scores variants with one or several models, by one method.

    Args:
        models: The models, which must all read the same modality.
        method: The method that scores substitutions.

    Raises:
        ModelError: The models read different things, or something that has no variants.
    """

    def __init__(self, models: Sequence[ScoringModel], method: ScoreMethod) -> None:
        self.models = models
        self.method = method
        self.modality = _modality_of_all(models)

    def needs(self, variant: Variant) -> dict[bytes, Need]:
        """Return what must be known to score a variant, by the key of each answer.

        Variants of one protein that change the same place share keys.

        Args:
            variant: The variant.
        """
        return {
            model.key(reading): Need(number, reading)
            for number, model in enumerate(self.models)
            for reading in readings_of(variant, self.method, model.window)
        }

    def n_tokens(self, need: Need) -> int:
        """Return how many tokens a model processes to answer a need.

        Args:
            need: What must be known.
        """
        return self.models[need.model_number].n_tokens(need.reading)

    def n_values(self, need: Need) -> int:
        """Return the length of the answer to a need, in float32 values.

        Args:
            need: What must be known.
        """
        return self.models[need.model_number].n_values(need.reading)

    def read(
        self, needs: Mapping[bytes, Need], on_run: Callable[[int], None] = no_progress
    ) -> dict[bytes, Answer]:
        """Ask the models, and return their answers by key.

        Args:
            needs: What must be known, by key.
            on_run: Called after each batch with its number of tokens.

        Raises:
            OptionError: A batch is too large for the memory.
        """
        answers: dict[bytes, Answer] = {}
        for number, model in enumerate(self.models):
            own = {key: need.reading for key, need in needs.items() if need.model_number == number}
            answers.update(zip(own, model.read(list(own.values()), on_run), strict=True))
        return answers

    def score(self, variants: Sequence[Variant], answers: Mapping[bytes, Answer]) -> NDArray[np.float32]:
        """Compute the scores of variants, with a row for each variant and a column for each model.

        Args:
            variants: The variants.
            answers: The answers to all ``needs`` of the variants, by key.
        """
        scores = np.empty((len(variants), len(self.models)), np.float32)
        for number, model in enumerate(self.models):
            answer = _answers_of(model, answers)
            scores[:, number] = [score_of(variant, self.method, model, answer) for variant in variants]
        return scores

    def read_and_score(self, variants: Sequence[Variant | Unscored]) -> NDArray[np.float32]:
        """Compute the scores of variants with everything in memory.

        Args:
            variants: The variants, or why they cannot be scored.

        Returns:
            A row for each variant and a column for each model. It is NaN for what cannot be scored.

        Raises:
            ModelError: A model's weights are not finite. The message counts the variants from 1.
            OptionError: The numbers overflow in this dtype, or a batch is too large for the memory.
        """
        numbered = {number: one for number, one in enumerate(variants, 1) if isinstance(one, Variant)}
        needs = {key: need for variant in numbered.values() for key, need in self.needs(variant).items()}
        scores = self.score(list(numbered.values()), self.read(needs))
        self.check(scores, [f"variant {number}" for number in numbered])
        of_all = np.full((len(variants), len(self.models)), np.nan, np.float32)
        of_all[np.array(list(numbered), np.int64) - 1] = scores
        return of_all

    def check(self, scores: NDArray[np.float32], places: Sequence[str]) -> None:
        """Raise an error for the first row with a score of NaN: a model's numbers are not finite there.

        Args:
            scores: The scores, with a row for each variant and a column for each model.
            places: The place of each row in the input, for messages.

        Raises:
            ModelError: A model's weights are not finite.
            OptionError: The numbers overflow in this dtype.
        """
        for row, number in np.argwhere(np.isnan(scores)):
            raise not_finite(self.models[number].runner.model, places[row])

    def reason(self, names: Sequence[str], is_empty: NDArray[np.bool_]) -> str | None:
        """Return why scores of a row are missing, in a sentence for the user; None if no score is missing.

        Args:
            names: The names of the models.
            is_empty: Marks the models whose score is missing.
        """
        at_fault = [
            f"{name}: {describe_not_finite(model.runner.dtype)}"
            for name, model, it in zip(names, self.models, is_empty, strict=True)
            if it
        ]
        return "; ".join(at_fault) or None

    def is_windowed(self, variant: Variant) -> bool:
        """Return whether a protein is too long for one of the models, so that it is read in windows.

        Args:
            variant: A variant of the protein.
        """
        n_residues = len(variant.wild_type)
        if variant.method(self.method) == "pseudo-perplexity":
            n_residues = max(n_residues, len(variant.mutated))
        return any(n_residues > model.window for model in self.models)


def _modality_of_all(models: Sequence[ScoringModel]) -> Modality:
    """Return what all models read. Raise ModelError if they read different things, or it has no variants."""
    modalities = {it.name: it for it in (model.tokenizer.modality for model in models)}
    if len(modalities) > 1:
        read = ", another ".join(it.words.items for it in modalities.values())
        what = f"the models read different things: one reads {read}"
        raise ModelError(what, where="--model", remedy="Give models that all read the same")
    (modality,) = modalities.values()
    if not modality.has_variants:
        what = f"this model reads {modality.words.items}, of which biofm cannot score variants"
        raise ModelError(what, where="--model", remedy="Give a model of proteins")
    return modality


def _answers_of(model: ScoringModel, answers: Mapping[bytes, Answer]) -> Callable[[Reading], Answer]:
    return lambda reading: answers[model.key(reading)]
