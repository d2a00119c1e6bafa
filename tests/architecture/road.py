"""Counts whose code a command runs: the files on the road of a record through ``embed`` and of a row through
``finetune``, in the order in which they are first entered, and how often the room changes on the way.

A file is counted where one of its functions is called, so definitions at import are none. A room is a folder
of ``biofm``, or one of the packages below it. These figures are signs of how much a reader has to open, not
limits. The biofm that is counted is the one that Python finds first: with another checkout's three source
roots in PYTHONPATH it is that one's.
"""

import argparse
import json
import subprocess
import sys
import threading
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

PACKAGES = ("biofm", "biofm_kernels", "biofm_datasets")
FIRST_BATCH = ("biofm/nn/encoder.py", "forward")
OF_A_FUNCTION = 0x2  # the flag that code of modules and classes lacks (inspect.CO_NEWLOCALS)
COMMANDS = {
    "embed": "embed {proteins} -o {folder}/out.npz",
    "finetune --method full": "finetune {table} --column sequence --target y -o {folder}/run --method full"
    " --steps 2 --tokens-per-batch 600 --set n_warmup=1 --set n_resamples=20",
}


def source_roots() -> dict[Path, str]:
    """Where the packages lie, and the name of each."""
    found = {name: find_spec(name) for name in PACKAGES}
    return {Path(spec.origin).parent: name for name, spec in found.items() if spec and spec.origin}


class Road:
    """Keeps biofm's files in the order in which calls first enter them."""

    def __init__(self) -> None:
        self._roots = source_roots()
        self._names: dict[str, str | None] = {}
        self.files: list[str] = []
        self.n_before_first_batch: int | None = None

    def hear(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_flags & OF_A_FUNCTION:
            return
        if code.co_filename not in self._names:
            self._names[code.co_filename] = self._name_of(Path(code.co_filename))
            if (name := self._names[code.co_filename]) is not None:
                self.files.append(name)
        if self.n_before_first_batch is None and (self._names[code.co_filename], code.co_name) == FIRST_BATCH:
            self.n_before_first_batch = len(self.files)

    def _name_of(self, path: Path) -> str | None:
        for root, package in self._roots.items():
            if path.is_relative_to(root):
                return f"{package}/{path.relative_to(root).as_posix()}"
        return None


def room_of(name: str) -> str:
    package, *folders = name.split("/")[:-1]
    return f"{package}/{folders[0]}" if package == "biofm" and folders else package


def n_changes(names: list[str]) -> int:
    """Return how often the road goes on in another room."""
    return len(list(groupby(map(room_of, names)))) - 1


def follow(words: list[str]) -> None:
    """Run a command in this process, and print what it entered as JSON."""
    from biofm.cli import main

    road, sys.argv = Road(), ["biofm", *words]
    threading.setprofile(road.hear)
    sys.setprofile(road.hear)
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
    print(json.dumps({"files": road.files, "before": road.n_before_first_batch}))


def n_files() -> int:
    """Return how many files biofm has, without the ``__init__.py`` of its packages."""
    (root,) = (path for path, name in source_roots().items() if name == "biofm")
    return sum(path.name != "__init__.py" for path in root.rglob("*.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the files of each road, in order")
    wanted = parser.parse_args()
    print(f"files of biofm without __init__.py: {n_files()}")
    print("| command | files | of biofm | changes of room before the first batch |")
    print("|---|---|---|---|")
    for name, command in COMMANDS.items():
        with TemporaryDirectory(prefix="biofm-road-") as folder:
            found = run(command, Path(folder))
        of_biofm = sum(file.startswith("biofm/") for file in found["files"])
        before = n_changes(found["files"][: found["before"]])
        print(f"| `{name}` | {len(found['files'])} | {of_biofm} | {before} |", flush=True)
        if wanted.list:
            print(*found["files"], sep="\n", flush=True)


def run(command: str, folder: Path) -> dict[str, Any]:
    """Follow a command in a process of its own, on the example proteins."""
    (root,) = (path for path, name in source_roots().items() if name == "biofm")
    proteins, table = root / "examples/proteins.fasta", folder / "table.csv"
    sequences = [part.split("\n", 1)[1].replace("\n", "") for part in proteins.read_text().split(">")[1:]]
    parts = [text[i : i + 40] for text in sequences for i in (0, 20, 40, 60)]
    table.write_text("".join(["sequence,y\n", *(f"{part},{part.count('L')}\n" for part in parts)]))
    words = command.format(proteins=proteins, table=table, folder=folder).split()
    done = subprocess.run(
        [sys.executable, __file__, "--follow", *words, "--quiet"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--follow"]:
        follow(sys.argv[2:])
    else:
        main()
