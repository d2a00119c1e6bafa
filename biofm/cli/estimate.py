"""What the commands print with ``--estimate``: the time, memory and disk that a run will take."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

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
        (str(made["items"]), f"{estimate.n_sequences:,}, of which {estimate.n_unique:,} different sequences"),
        (str(made["units"]), f"{estimate.n_residues:,}, in the longest {estimate.longest:,}"),
        ("tokens", f"{estimate.n_tokens:,} through the model"),
        ("rows", f"{estimate.n_rows:,} x {estimate.n_dimensions}"),
        ("computed in", f"{made['dtype']} on {made['device']}"),
        *_costs(estimate, output),
        ("until it is whole", f"{format_bytes(estimate.scratch_bytes)} more beside it"),
    ]


def _score_rows(estimate: "ScoreEstimate", output: Path) -> list[tuple[str, str]]:
    return [
        ("variants", f"{estimate.n_variants:,}"),
        ("runs of the models", f"{estimate.n_tokens:,} tokens for {estimate.n_answers:,} answers"),
        ("computed in", f"{estimate.dtype} on {estimate.device}"),
        *_costs(estimate, output),
        ("until it is whole", f"{format_bytes(estimate.scratch_bytes)} more beside it, and the table again"),
    ]


def _costs(estimate: "EmbedEstimate | ScoreEstimate", output: Path) -> list[tuple[str, str]]:
    """Return the rows of time, memory and disk. The size in the format that was asked for comes first."""
    speed = estimate.sample_tokens / estimate.sample_seconds if estimate.sample_seconds else 0.0
    suffix = output.suffix.lower()
    sizes = {suffix: estimate.output_bytes.get(suffix, 0)} | dict(estimate.output_bytes)
    costs = [
        (
            "time",
            f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
            f"(a sample of {estimate.sample_tokens:,} tokens in {estimate.sample_seconds:.1f} s)",
        ),
        ("memory", f"{format_bytes(estimate.memory_bytes)} ({_parts(estimate.memory_parts)})"),
        ("output", ", ".join(f"{name} {format_bytes(n)}" for name, n in sizes.items() if n)),
    ]
    if estimate.device_bytes:
        costs.insert(2, ("memory of the device", format_bytes(estimate.device_bytes)))
    return costs


def _training_rows(estimate: "TrainingEstimate") -> list[tuple[str, str]]:
    n_epochs = estimate.n_tokens / estimate.n_train_tokens
    sizes = ", ".join(f"{name} {format_bytes(n)}" for name, n in estimate.output_bytes.items())
    rows = [
        ("parameters", f"{estimate.n_parameters:,}, of which {estimate.n_trained:,} are trained"),
        ("steps", f"{estimate.n_steps:,}, of {estimate.n_tokens:,} tokens together"),
        ("training data", f"{estimate.n_train_tokens:,} tokens, passed {n_epochs:.2f} times"),
        ("computed in", f"{estimate.dtype} on {estimate.device} ({estimate.dtype_reason})"),
        ("time of training", _training_time(estimate)),
        ("memory", f"{format_bytes(estimate.memory_bytes)} ({_parts(estimate.memory_parts)})"),
        ("output", sizes),
    ]
    if estimate.host_bytes:
        rows.insert(6, ("memory of the host", format_bytes(estimate.host_bytes)))
    if estimate.room_bytes is not None:
        rows.append(("memory there is", format_bytes(estimate.room_bytes)))
        rows.append(("--tokens-per-batch", _batches(estimate)))
    return rows


def _finetune_rows(estimate: "FinetuneEstimate") -> list[tuple[str, str]]:
    rows = [("rows of the table", f"{estimate.n_rows:,}"), ("method", estimate.method)]
    if estimate.training is None:
        assert estimate.vectors is not None, "a probe has vectors"
        return [*rows, *_vector_rows(estimate.vectors)]
    if estimate.n_members > 1:
        rows.append(("members", f"{estimate.n_members}, each as follows but for the output"))
    if estimate.seconds is not None:
        rows.append(("time in all", f"at most {format_duration(estimate.seconds)}"))
    return [*rows, *_training_rows(estimate.training)]


def _vector_rows(vectors: "EmbedEstimate") -> list[tuple[str, str]]:
    return [
        ("vectors", f"{vectors.n_rows:,} x {vectors.n_dimensions}, made once"),
        ("tokens", f"{vectors.n_tokens:,} through the model"),
        ("computed in", f"{vectors.provenance['dtype']} on {vectors.provenance['device']}"),
        *_costs(vectors, Path("vectors")),
    ]


def _training_time(estimate: "TrainingEstimate") -> str:
    if estimate.seconds is None:
        return "not tried: there is not the memory for a step"
    speed = estimate.sample_tokens / estimate.sample_seconds
    return (
        f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
        f"(a sample of {estimate.sample_tokens:,} tokens in {estimate.sample_seconds:.1f} s)"
    )


def _batches(estimate: "TrainingEstimate") -> str:
    fits = (
        f"up to {estimate.largest_tokens_per_batch:,}" if estimate.largest_tokens_per_batch else "under 1,024"
    )
    return f"{estimate.tokens_per_batch:,}; {fits} fit that memory"


def _parts(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {format_bytes(n)}" for name, n in parts.items() if n)
