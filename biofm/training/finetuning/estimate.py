"""An estimate of what a fine-tuning will take in time, memory and space, before it begins."""

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

if TYPE_CHECKING:  # it brings lightning
    from biofm.training.estimating import TrainingEstimate

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneEstimate:
    """What a fine-tuning will take.

    A probe takes the ``vectors``, which are made once for all its members; otherwise each of ``n_members``
    takes a ``training`` like the first one's. ``seconds`` is the time of all of it, an upper bound where
    trainings may stop early; None where memory is too small to try a step.
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
    """Try a few batches of what ``run_finetuning`` of the same arguments would do; write nothing.

    The answers of what was trained, their judgement and the baselines are not counted.

    Raises InputError, OptionError, MissingExtraError as ``run_finetuning`` does.
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
    """What the vectors of a probe take; they lie on the disk until all members are fitted."""
    records = records_of(source.table)
    provenance = {"dtype": compute.dtype_name, "device": compute.device.type}
    found = estimate_embedding(
        embedder, records, WHOLE, ".npz", notices, dtype_reason=compute.reason, provenance=provenance
    )
    n_bytes = FLOAT_BYTES * found.n_rows * found.n_dimensions
    return replace(found, output_bytes={"vectors": n_bytes}, scratch_bytes=0)


def _of_training(member: Untrained, n_members: int, compute: Compute) -> "TrainingEstimate":
    """What the training of one member takes; models are counted for all members, because all stay."""
    from biofm.training.estimating import estimate_training  # brings lightning, which takes seconds to import

    found = estimate_training(member.model, member.objective, member.data, member.recipe, compute)
    is_whole = member.recipe.method == "full" or member.recipe.merge_adapters
    n_kept = found.n_parameters if is_whole else found.n_trained
    models = FLOAT_BYTES * n_kept * n_members
    return replace(found, output_bytes={**found.output_bytes, "model": models})
