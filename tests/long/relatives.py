"""Proves that no part of a split holds a relative of another, by an outside search with MMseqs2.

`biofm data prepare` parts proteins into training, validation and test at 30, 40 and 50 % identity: by
identity, which leaves out what resembles a held-out protein, and by cluster, which keeps them together. Then
MMseqs2, called here as a user would (`easy-search -s 7.5 -e 0.001`, its masking on, then off), searches every
held-out part in the other parts. A pair counts if so much of the alignment is identical, and it covers half
of the shorter protein. BIOFM_TEST_DATA names the folder with the proteins: 10,000 of UniRef90, of which 10 %
validate and 10 % test. Most of an hour on two cores; it needs `mmseqs`.
"""

import argparse
import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

from biofm_datasets.store import Store, open_store

from biofm.modalities import ProteinTokenizer

DATA = "protein/uniref90_10k.fasta.gz"
HELD_OUT = 0.1
THRESHOLDS = (0.3, 0.4, 0.5)
COLUMNS = "query,nident,alnlen,qlen,tlen"
METHODS = ("identity", "cluster")
PARTS = ("train", "validation", "test")
MASKINGS: dict[str, tuple[str, ...]] = {"masked": (), "unmasked": ("--mask", "0", "--comp-bias-corr", "0")}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--proteins", type=Path, help="another file, FASTA or a table")
    given = parser.parse_args().proteins
    if shutil.which("mmseqs") is None:
        sys.exit("mmseqs is not installed here: apt-get install mmseqs2")
    if given is None and "BIOFM_TEST_DATA" not in os.environ:
        sys.exit("name the folder of the data in BIOFM_TEST_DATA, or a file with --proteins")
    proteins = (given or Path(os.environ["BIOFM_TEST_DATA"]) / DATA).resolve()
    n_found = 0
    print("| split | identity | train, validation, test | left out | relatives found, masked | unmasked |")
    print("|---|---|---|---|---|---|", flush=True)
    for method in METHODS:
        for threshold in THRESHOLDS:
            with TemporaryDirectory() as name:
                store = prepare(proteins, method, threshold, Path(name) / "store")
                sizes = [len(store.split[part]) for part in PARTS]
                dropped = len(store.split["removed"]) / store.record.n_sequences
                found = [count(store, threshold, Path(name), options) for options in MASKINGS.values()]
            n_found += sum(found)
            numbers = ", ".join(f"{size:,}" for size in sizes)
            print(
                f"| {method} | {threshold:.0%} | {numbers} | {dropped:.1%} | {found[0]} | {found[1]} |",
                flush=True,
            )
    print(f"{n_found} relatives of a part in another")
    return 1 if n_found else 0


def prepare(proteins: Path, method: str, threshold: float, folder: Path) -> Store:
    command: list[object] = [
        sys.executable, "-m", "biofm.cli", "data", "prepare", proteins, "-o", folder, "--quiet",
        "--split", method, "--validation", HELD_OUT, "--test", HELD_OUT, "--max-identity", threshold,
    ]  # fmt: skip
    run(command)
    return open_store(folder)


def count(store: Store, threshold: float, scratch: Path, options: tuple[str, ...]) -> int:
    """Proteins of the later part of each pair of parts that have a relative in the earlier one."""
    files = {part: write_part(store, part, scratch) for part in PARTS}
    return sum(
        len(search(files[b], files[a], threshold, scratch, options)) for a, b in combinations(PARTS, 2)
    )


def write_part(store: Store, part: str, scratch: Path) -> Path:
    tokenizer, path = ProteinTokenizer(), scratch / f"{part}.fasta"
    with path.open("w") as file:
        for i in store.split[part]:
            file.write(f">{i}\n{tokenizer.decode(store.tokens[i][1:-1])}\n")
    return path


def search(
    queries: Path, targets: Path, threshold: float, scratch: Path, options: tuple[str, ...]
) -> set[str]:
    """The queries that have a relative among the targets."""
    found, work = scratch / "found.tsv", scratch / "work"
    command: list[object] = [
        "mmseqs", "easy-search", queries, targets, found, work, "-s", "7.5", "-e", "0.001", "-a", "1",
        "--alignment-mode", "3", "--max-seqs", "10000", "-v", "1", "--format-output", COLUMNS,
        *options,
    ]  # fmt: skip
    run(command)
    alike = set()
    for line in found.read_text().splitlines():
        query, *numbers = line.split("\t")
        n_identical, n_columns, *lengths = map(int, numbers)
        if n_identical >= threshold * n_columns and n_columns >= min(lengths) / 2:
            alike.add(query)
    return alike


def run(command: list[object]) -> None:
    words = [str(word) for word in command]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
