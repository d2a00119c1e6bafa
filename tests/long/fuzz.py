"""Every reader of files on files made bad by chance: nothing but clear faults, no hang, no death.

Good files of each kind are changed by flipped bits, cut, doubled and moved blocks, extreme numbers, and
other values in their JSON, and read as the verbs read them, in a process of bounded memory. Whatever
is not a sentence for a user (another exception, a signal that ends the process, twenty seconds without an
end) is a fault, and the exit code is 1. Five minutes by default; the suite tries a fixed number of files.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

import torch  # noqa: E402

from tests.fuzzing.children import Fault, Limit, fuzz, kinds_of  # noqa: E402
from tests.fuzzing.readers import READERS, Reader  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="for all readers together")
    parser.add_argument("--inputs", type=int, help="so many of each reader, however long they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=READERS, help="one of them; repeatable")
    parser.add_argument("--keep", type=Path, help="a folder for the files that were faults")
    given = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [READERS[name] for name in given.reader or READERS]

    def limit() -> Limit:
        if given.inputs:
            return Limit(n_inputs=given.inputs)
        return Limit(end=time.monotonic() + given.seconds / len(chosen))

    with TemporaryDirectory() as scratch:
        place = given.keep or Path(scratch)
        faults = [fault for reader in chosen for fault in _try(reader, given.seed, limit(), place)]
    for fault, n in kinds_of(faults):
        print(f"{n:5} x {fault.reader}: {fault.kind} at {fault.place}: {fault.message}\n      {fault.input}")
    print(f"{len(faults)} faults of {len(list(kinds_of(faults)))} kinds")
    return 1 if faults else 0


def _try(reader: Reader, seed: int, limit: Limit, place: Path) -> list[Fault]:
    good, work = place / reader.name / "good", place / reader.name
    good.mkdir(parents=True)
    reader.make(good)
    reader.read(good)
    count, faults = fuzz(reader, seed, limit, good, work)
    print(
        f"{reader.name:20} {count.n_tried:7,} tried {count.n_refused:7,} refused "
        f"{count.n_accepted:7,} accepted {len(faults):4} faults",
        flush=True,
    )
    return faults


if __name__ == "__main__":
    sys.exit(main())
