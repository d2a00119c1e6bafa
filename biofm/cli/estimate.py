"""What ``biofm embed --estimate`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.cli.printing import print_json, print_table, say_notices
from biofm.core.progress import format_duration

if TYPE_CHECKING:
    from biofm.inference.estimate import Estimate

UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def show_estimate(estimate: "Estimate", output: Path, *, as_json: bool) -> None:
    say_notices(estimate.notices)
    if as_json:
        print_json(estimate)
        return
    print_table(_rows(estimate, output.suffix.lower()))


def _rows(estimate: "Estimate", suffix: str) -> list[tuple[str, str]]:
    speed = estimate.sample_tokens / estimate.sample_seconds if estimate.sample_seconds else 0.0
    parts = ", ".join(f"{name} {_size(n)}" for name, n in estimate.memory_parts.items() if n)
    sizes = {suffix: estimate.output_bytes.get(suffix, 0)} | dict(estimate.output_bytes)
    rows = [
        ("proteins", f"{estimate.n_sequences:,}, of which {estimate.n_unique:,} different sequences"),
        ("residues", f"{estimate.n_residues:,}, in the longest {estimate.longest:,}"),
        ("tokens", f"{estimate.n_tokens:,} through the model"),
        ("rows", f"{estimate.n_rows:,} x {estimate.n_dimensions}"),
        ("computed in", f"{estimate.provenance['dtype']} on {estimate.provenance['device']}"),
        (
            "time",
            f"{format_duration(estimate.seconds)}, at {speed:,.0f} tokens/s "
            f"(a sample of {estimate.sample_tokens:,} tokens in {estimate.sample_seconds:.1f} s)",
        ),
        ("memory", f"{_size(estimate.memory_bytes)} ({parts})"),
        ("output", ", ".join(f"{name} {_size(n)}" for name, n in sizes.items() if n)),
        ("until it is whole", f"{_size(estimate.scratch_bytes)} more beside it"),
    ]
    if estimate.device_bytes:
        rows.insert(7, ("memory of the device", _size(estimate.device_bytes)))
    return rows


def _size(n_bytes: float) -> str:
    """``312 kB``, ``4.1 GB``: in thousands."""
    for unit in UNITS:
        if n_bytes < 999.5 or unit == UNITS[-1]:
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if n_bytes >= 99.5 or unit == "B" else f"{n_bytes:.1f} {unit}"
