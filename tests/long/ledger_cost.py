"""What the ledger costs beside a bare SQLite insert that is synced as well (open, begin, insert, commit with
``synchronous = EXTRA``, close), in turn in one run: the row before the action takes at most twice as long,
and both rows at most three times. A minute.
"""

import argparse
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

from biofm.gate import Ledger  # noqa: E402
from biofm.policy import Decision, Principal, Request, Target, Verdict  # noqa: E402

BODY = "x" * 600
ALLOW = Verdict(
    decision=Decision.ALLOW, rule="research: a-person", reason="a reason", remedy="", evidence=("held: none",)
)
REQUEST = Request(
    verb="embed",
    verbs=frozenset({"embed"}),
    principal=Principal(kind="person", name="rosalind"),
    options={"pooling": "mean", "layer": -1, "tokens_per_batch": 2048, "dtype": "float32", "window": None},
    reads={"input": (Path("proteins.fasta"),), "weights": (Path("model.safetensors"), Path("config.json"))},
    writes={"output": Target(path=Path("out.h5ad"))},
    hosts=(),
    sends=frozenset(),
    code=(),
    device="auto",
    model="protein-nano",
    once=frozenset({"input"}),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the databases lie (the temporary folder)")
    wanted = parser.parse_args()
    with TemporaryDirectory(dir=wanted.folder) as folder:
        bare, ledger = Path(folder) / "bare.sqlite3", Ledger(Path(folder) / "state" / "ledger.sqlite3")
        with closing(sqlite3.connect(bare)) as connection:
            connection.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY, body TEXT, hash TEXT)")
        kinds: dict[str, Callable[[], object]] = {
            "a bare insert": lambda: insert(bare),
            "the row before": lambda: ledger.remember(REQUEST, ALLOW),
            "both rows": lambda: ledger.conclude(ledger.remember(REQUEST, ALLOW), "completed"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(wanted.times):
            for name, run in kinds.items():
                begin = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    bare_s = medians["a bare insert"]
    for name, median in medians.items():
        least = f"least {1000 * min(seconds[name]):.2f} ms"
        print(f"{name}: {1000 * median:.2f} ms, {median / bare_s:.2f} times ({least})")
    return 0 if medians["the row before"] <= 2 * bare_s and medians["both rows"] <= 3 * bare_s else 1


def insert(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO entries (body, hash) VALUES (?, ?)", (BODY, "a" * 64))
        connection.execute("COMMIT")


if __name__ == "__main__":
    sys.exit(main())
