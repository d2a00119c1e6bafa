"""Search every sequence of calls, under each policy that biofm ships, for one that breaks a rule of labels.

    python tests/long/search.py [--only research]

Two holders ask for every class of verb. Four searches: each holder with one session, where states differ by
which session has which label; each with three sessions, where the labels of a holder count together; each
with one session and two within it, of the verbs that leak together, while persons end all sessions of a
holder; and persons who approve requests while time passes. The states and the calls judged are
printed.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

from biofm.policy.files import SHIPPED  # noqa: E402
from tests.gate.search import CALLS, Search, existing_file, policy_for_search  # noqa: E402

WITH_HOSTS = tuple(name for name, call in CALLS.items() if call.hosts)
READING = ("embed a private file", "embed what was made")
LEADING_OUT = (*READING, "run a program", "fetch a model")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(SHIPPED), help="search under this policy alone")
    wanted = parser.parse_args()
    sys.setrecursionlimit(100_000)
    n_faults = 0
    with TemporaryDirectory() as folder:
        made = existing_file(Path(folder))
        for name in SHIPPED:
            if wanted.only not in (None, name):
                continue
            policy = policy_for_search(name)
            searches = {
                "one session each": Search(policy, made, with_approvals=False),
                "three sessions each": Search(
                    policy, made, n_sessions=3, with_approvals=False, is_exact=False
                ),
                "sessions within sessions": Search(
                    policy,
                    made,
                    n_within=2,
                    calls=LEADING_OUT,
                    with_approvals=False,
                    with_resets=True,
                    is_exact=False,
                ),
                "approvals": Search(policy, made, n_sessions=0, calls=(*READING, *WITH_HOSTS)),
            }
            for title, search in searches.items():
                began = time.perf_counter()
                search.run()
                seconds = time.perf_counter() - began
                found = "; ".join(search.violations) or "no violation"
                print(
                    f"{name}, {title}: {search.n_states:,} states, {search.n_transitions:,} calls judged in "
                    f"{seconds:.0f} s: {found}",
                    flush=True,
                )
                n_faults += len(search.violations)
    return min(n_faults, 1)


if __name__ == "__main__":
    sys.exit(main())
