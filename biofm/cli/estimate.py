"""Estimates: what the commands print with ``--estimate``, the time, memory and disk that a run needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from biofm_datasets.text import format_count

from biofm.api import Embed, Finetune, Pretrain, Score
from biofm.cli.printing import print_json, print_table, say_notices
from biofm.core.text import format_bytes, format_duration

if TYPE_CHECKING:
    from biofm.inference.runs import EmbedEstimate
    from biofm.inference.scoring import ScoreEstimate
    from biofm.training.estimating import TrainingEstimate
    from biofm.training.finetuning import FinetuneEstimate


def show_embed_estimate(asked: Embed, estimate: "EmbedEstimate", as_json: bool) -> None:
    _show(estimate, _rows(estimate, Path(asked.output)), as_json)


def show_score_estimate(asked: Score, estimate: "ScoreEstimate", as_json: bool) -> None:
    _show(estimate, _score_rows(estimate, Path(asked.output)), as_json)


def show_pretrain_estimate(asked: Pretrain, estimate: "TrainingEstimate", as_json: bool) -> None:
    if as_json:
        print_json(estimate)
    else:
        print_table(_training_rows(estimate))


def show_finetune_estimate(asked: Finetune, estimate: "FinetuneEstimate", as_json: bool) -> None:
    _show(estimate, _finetune_rows(estimate), as_json)


def _show(
    estimate: "EmbedEstimate | ScoreEstimate | FinetuneEstimate", rows: list[tuple[str, str]], as_json: bool
) -> None:
    say_notices(estimate.notices)
    if as_json:
        print_json(estimate)
    else:
        print_table(rows)


def _rows(estimate: "EmbedEstimate", output: Path) -> list[tuple[str, str]]:
    made = estimate.provenance
    return [
        (
            str(made["items"]),
            f"{estimate.n_sequences:,}, with {format_count(estimate.n_unique, 'different sequence')}",
        ),
        (str(made["units"]), f"{estimate.n_residues:,}; the longest sequence has {estimate.longest:,}"),
        ("tokens", f"{estimate.n_tokens:,} go through the model"),
        ("rows", f"{estimate.n_rows:,} of {format_count(estimate.n_dimensions, 'number')}"),
        ("computed in", f"{made['dtype']} on {made['device']}"),
        *_costs(estimate, output),
        ("until it is complete", f"{format_bytes(estimate.scratch_bytes)} more beside it"),
    ]


def _score_rows(estimate: "ScoreEstimate", output: Path) -> list[tuple[str, str]]:
    return [
        ("variants", f"{estimate.n_variants:,}"),
        (
            "runs of the models",
            f"{format_count(estimate.n_tokens, 'token')} for {format_count(estimate.n_answers, 'answer')}",
        ),
        ("computed in", f"{estimate.dtype} on {estimate.device}"),
        *_costs(estimate, output),
        (
            "until it is complete",
            f"{format_bytes(estimate.scratch_bytes)} more beside it, and the table once more",
        ),
    ]


def _costs(estimate: "EmbedEstimate | ScoreEstimate", output: Path) -> list[tuple[str, str]]:
    """Return the rows of time, memory and disk; the size in the format that was asked for comes first."""
    speed = estimate.sample_tokens / estimate.sample_seconds if estimate.sample_seconds else 0.0
    suffix = output.suffix.lower()
    sizes = {suffix: estimate.output_bytes.get(suffix, 0)} | dict(estimate.output_bytes)
    costs = [
        (
            "time",
            f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
            f"(a sample of {format_count(estimate.sample_tokens, 'token')} took "
            f"{estimate.sample_seconds:.1f} s)",
        ),
        ("memory", f"{format_bytes(estimate.memory_bytes)} ({_parts(estimate.memory_parts)})"),
        ("output", ", ".join(f"{name} {format_bytes(n)}" for name, n in sizes.items() if n)),
    ]
    if estimate.device_bytes:
        costs.insert(2, ("device memory", format_bytes(estimate.device_bytes)))
    return costs


def _training_rows(estimate: "TrainingEstimate") -> list[tuple[str, str]]:
    n_epochs = estimate.n_tokens / estimate.n_train_tokens
    sizes = ", ".join(f"{name} {format_bytes(n)}" for name, n in estimate.output_bytes.items())
    rows = [
        ("parameters", f"{estimate.n_parameters:,}; {estimate.n_trained:,} of them are trained"),
        ("steps", f"{estimate.n_steps:,} with {format_count(estimate.n_tokens, 'token')} in all"),
        (
            "training data",
            f"{format_count(estimate.n_train_tokens, 'token')}, each read {n_epochs:.2f} times",
        ),
        ("computed in", f"{estimate.dtype} on {estimate.device} ({estimate.dtype_reason})"),
        ("training time", _training_time(estimate)),
        ("memory", f"{format_bytes(estimate.memory_bytes)} ({_parts(estimate.memory_parts)})"),
        ("output", sizes),
    ]
    if estimate.host_bytes:
        rows.insert(6, ("host memory", format_bytes(estimate.host_bytes)))
    if estimate.room_bytes is not None:
        rows.append(("available memory", format_bytes(estimate.room_bytes)))
        rows.append(("--tokens-per-batch", _batches(estimate)))
    return rows


def _finetune_rows(estimate: "FinetuneEstimate") -> list[tuple[str, str]]:
    rows = [("rows of the table", f"{estimate.n_rows:,}"), ("method", estimate.method)]
    if estimate.training is None:
        assert estimate.vectors is not None, "a probe is fitted on vectors"
        return [*rows, *_vector_rows(estimate.vectors)]
    if estimate.n_members > 1:
        rows.append(("members", f"{estimate.n_members}; what follows is for each, except the output"))
    if estimate.seconds is not None:
        rows.append(("total time", f"at most {format_duration(estimate.seconds)}"))
    return [*rows, *_training_rows(estimate.training)]


def _vector_rows(vectors: "EmbedEstimate") -> list[tuple[str, str]]:
    return [
        (
            "vectors",
            f"{vectors.n_rows:,} of {format_count(vectors.n_dimensions, 'number')}, computed once",
        ),
        ("tokens", f"{vectors.n_tokens:,} go through the model"),
        ("computed in", f"{vectors.provenance['dtype']} on {vectors.provenance['device']}"),
        *_costs(vectors, Path("vectors")),
    ]


def _training_time(estimate: "TrainingEstimate") -> str:
    if estimate.seconds is None:
        return "unknown, because there is too little memory to try a step"
    speed = estimate.sample_tokens / estimate.sample_seconds
    return (
        f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
        f"(a sample of {format_count(estimate.sample_tokens, 'token')} took {estimate.sample_seconds:.1f} s)"
    )


def _batches(estimate: "TrainingEstimate") -> str:
    fits = (
        f"up to {estimate.largest_tokens_per_batch:,}" if estimate.largest_tokens_per_batch else "under 1,024"
    )
    return f"{estimate.tokens_per_batch:,}; {fits} would fit into the available memory"


def _parts(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {format_bytes(n)}" for name, n in parts.items() if n)
