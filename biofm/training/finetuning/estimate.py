"""Estimate of a fine-tuning: before it begins, it tells the time, the memory and the space on the disk."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from biofm.inference import Compute, Embedder
from biofm.inference.runs import WHOLE, EmbedEstimate, estimate_embedding
from biofm.training.finetuning.gradient import Untrained, make_member
from biofm.training.finetuning.plan import make_plan
from biofm.training.finetuning.run import Base, Source, check_choices, make_embedder
from biofm.training.finetuning.vectors import records_of, token_store
from biofm.training.recipe import FinetuneRecipe

if TYPE_CHECKING:  # it imports lightning
    from biofm.training.estimating import TrainingEstimate

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneEstimate:
    """Holds what a fine-tuning will take.

    Attributes:
        method: The method of the recipe.
        n_rows: Rows of the table.
        n_members: Members that are trained or fitted.
        seconds: Time of all members together; an upper bound if trainings may stop early, None if memory is
            too small to try a step.
        vectors: What the vectors of a probe take, which are computed once for all members; else None.
        training: What the training of one member takes; None for a probe.
        notices: Sentences on what was changed or left out, each with its count.
    """

    method: str
    n_rows: int
    n_members: int
    seconds: float | None
    vectors: EmbedEstimate | None
    training: "TrainingEstimate | None"
    notices: Mapping[str, int]


def estimate_finetuning(
    source: Source, base: Base, recipe: FinetuneRecipe, compute: Compute, notices: Counter[str]
) -> FinetuneEstimate:
    """Try a few batches of what ``run_finetuning`` would do with these arguments, and write nothing.

    The estimate leaves out the predictions of the trained members, their evaluation and the baselines.

    Args:
        source: The table.
        base: The model that is fine-tuned.
        recipe: The settings of the run.
        compute: The device and the number format.
        notices: Counts what was changed or left out.

    Raises:
        InputError: As in ``run_finetuning``.
        OptionError: As in ``run_finetuning``.
        MissingExtraError: As in ``run_finetuning``.
    """
    plan = make_plan(source.table, recipe, notices)
    embedder = make_embedder(source, base, recipe, compute)
    check_choices(recipe, embedder, compute)
    vectors = training = None
    if recipe.method == "probe":
        vectors = _of_vectors(source, embedder, compute, notices)
        seconds: float | None = vectors.seconds
    else:
        store = token_store(embedder.tokenise(records_of(source.table), notices))
        member = make_member(plan.members[0], source.table.labels, store, base.checkpoint, recipe)
        training = _of_training(member, len(plan.members), compute)
        seconds = None if training.seconds is None else len(plan.members) * training.seconds
    return FinetuneEstimate(
        method=recipe.method,
        n_rows=len(source.table),
        n_members=len(plan.members),
        seconds=seconds,
        vectors=vectors,
        training=training,
        notices=dict(notices),
    )


def _of_vectors(source: Source, embedder: Embedder, compute: Compute, notices: Counter[str]) -> EmbedEstimate:
    """Estimate what the vectors of a probe take; they stay on the disk until all members are fitted."""
    records = records_of(source.table)
    provenance = {"dtype": compute.dtype_name, "device": compute.device.type}
    found = estimate_embedding(
        embedder, records, WHOLE, ".npz", notices, dtype_reason=compute.reason, provenance=provenance
    )
    n_bytes = FLOAT_BYTES * found.n_rows * found.n_dimensions
    return replace(found, output_bytes={"vectors": n_bytes}, scratch_bytes=0)


def _of_training(member: Untrained, n_members: int, compute: Compute) -> "TrainingEstimate":
    """Estimate what the training of one member takes. The models of all members count, because all stay."""
    from biofm.training.estimating import estimate_training  # imports lightning, which takes seconds

    found = estimate_training(member.model, member.objective, member.data, member.recipe, compute)
    is_whole = member.recipe.method == "full" or member.recipe.merge_adapters
    n_kept = found.n_parameters if is_whole else found.n_trained
    models = FLOAT_BYTES * n_kept * n_members
    return replace(found, output_bytes={**found.output_bytes, "model": models})
