"""Measures what a verdict costs, and what it costs to read a policy, beside the claims of 100 us and 5 ms.

A request with labels, hosts and a file that would be overwritten is judged under each policy that biofm ships
and under all three together. Then each policy file is read anew. Each figure is the median of 30 rounds. It
takes ten seconds; run it on an idle machine.
"""

import argparse
import statistics
import sys
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

from biofm.policy import Labels  # noqa: E402
from biofm.policy.files import SHIPPED, read_policy, shipped_text  # noqa: E402
from biofm.policy.rules import decide  # noqa: E402
from tests.policy.requests import alteration, asking, found, shipped  # noqa: E402

MOST_US = 100.0
MOST_MS = 5.0
N_ROUNDS = 30


def median_us(call: Callable[[], Any], n_calls: int) -> float:
    """Return the median time of a call in microseconds."""
    return statistics.median(timeit.repeat(call, number=n_calls, repeat=N_ROUNDS)) / n_calls * 1e6


def main(words: Sequence[str] | None = None) -> int:
    """Print the figures, and return 1 if one is above its claim."""
    argparse.ArgumentParser(description=__doc__).parse_args(words)
    untrusted, private = Labels.UNTRUSTED, Labels.PRIVATE
    request = asking(verb="fetch", hosts=("huggingface.co", "cdn.hf.co"), reads={"input": (Path("a.dcm"),)})
    evidence = found(held=untrusted, inputs={"input": untrusted | private}, alters=(alteration("other"),))
    policies = {name: shipped(name) for name in SHIPPED}
    is_sound = True
    for name, policy in policies.items():
        cost = median_us(lambda policy=policy: decide(request, evidence, [policy]), 500)  # type: ignore[misc]
        is_sound &= cost < MOST_US
        print(f"verdict under {name}: {cost:.1f} us (at most {MOST_US:.0f})")
    cost = median_us(lambda: decide(request, evidence, [*policies.values()]), 500)
    print(f"verdict under all three at once: {cost:.1f} us")
    read_policy(shipped_text(SHIPPED[0]), SHIPPED[0])  # imports yaml
    for name in SHIPPED:
        data = shipped_text(name)
        cost = median_us(lambda data=data: read_policy.__wrapped__(data, "policy"), 3) / 1e3  # type: ignore[misc]
        is_sound &= cost < MOST_MS
        print(f"reading {name}: {cost:.2f} ms (at most {MOST_MS:.0f})")
    return 0 if is_sound else 1


if __name__ == "__main__":
    sys.exit(main())
