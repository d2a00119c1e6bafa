"""What ``--estimate`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.cli.printing import print_json, print_table, say_notices
from biofm.core.progress import format_duration
from biofm.core.units import format_bytes

if TYPE_CHECKING:
    from biofm.inference.estimate import Estimate
    from biofm.inference.scoring.estimate import ScoreEstimate


def show_estimate(estimate: "Estimate", output: Path, *, as_json: bool) -> None:
    _show(estimate, _rows(estimate, output), as_json)


def show_score_estimate(estimate: "ScoreEstimate", output: Path, *, as_json: bool) -> None:
    _show(estimate, _score_rows(estimate, output), as_json)


def _show(estimate: "Estimate | ScoreEstimate", rows: list[tuple[str, str]], as_json: bool) -> None:
    say_notices(estimate.notices)
    if as_json:
        print_json(estimate)
    else:
        print_table(rows)


def _rows(estimate: "Estimate", output: Path) -> list[tuple[str, str]]:
    return [
        ("proteins", f"{estimate.n_sequences:,}, of which {estimate.n_unique:,} different sequences"),
        ("residues", f"{estimate.n_residues:,}, in the longest {estimate.longest:,}"),
        ("tokens", f"{estimate.n_tokens:,} through the model"),
        ("rows", f"{estimate.n_rows:,} x {estimate.n_dimensions}"),
        ("computed in", f"{estimate.provenance['dtype']} on {estimate.provenance['device']}"),
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


def _costs(estimate: "Estimate | ScoreEstimate", output: Path) -> list[tuple[str, str]]:
    """Time, memory and disk; first the size in the format that was asked for."""
    speed = estimate.sample_tokens / estimate.sample_seconds if estimate.sample_seconds else 0.0
    parts = ", ".join(f"{name} {format_bytes(n)}" for name, n in estimate.memory_parts.items() if n)
    suffix = output.suffix.lower()
    sizes = {suffix: estimate.output_bytes.get(suffix, 0)} | dict(estimate.output_bytes)
    costs = [
        (
            "time",
            f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
            f"(a sample of {estimate.sample_tokens:,} tokens in {estimate.sample_seconds:.1f} s)",
        ),
        ("memory", f"{format_bytes(estimate.memory_bytes)} ({parts})"),
        ("output", ", ".join(f"{name} {format_bytes(n)}" for name, n in sizes.items() if n)),
    ]
    if estimate.device_bytes:
        costs.insert(2, ("memory of the device", format_bytes(estimate.device_bytes)))
    return costs
