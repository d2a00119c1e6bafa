"""Prints for each example protein the nearest neighbour that a model found, beside the right one.

    python biofm/examples/counterparts.py demo/proteins.h5ad

The example file holds six proteins of *E. coli*, each followed by the one of yeast that does the same work.
"""

import sys
from pathlib import Path

import biofm

EXAMPLES = Path(__file__).with_name("proteins.fasta")


def main(embeddings: str) -> None:
    """Print a row for each protein, and how many were found.

    Args:
        embeddings: The .h5ad file that `biofm embed` wrote of the example proteins.
    """
    headers = [line[1:].split(maxsplit=1) for line in EXAMPLES.read_text().splitlines() if line[0] == ">"]
    ids, work = zip(*((name, words.split(" OS=")[0]) for name, words in headers), strict=True)
    right = {name: ids[row ^ 1] for row, name in enumerate(ids)}  # rows 0 and 1, 2 and 3, ... belong together
    found = biofm.neighbours(embeddings)
    nearest = {name: found.of(row)[0][0] for row, name in enumerate(found.ids)}
    print("Each protein of E. coli has a counterpart in yeast that does the same work.\n")
    print(f"{'protein':<13}{'what it is':<44}{'right':<13}found")
    for name, words in zip(ids, work, strict=True):
        mark = " (right)" if nearest[name] == right[name] else ""
        print(f"{short(name):<13}{words:<44}{short(right[name]):<13}{short(nearest[name])}{mark}")
    n_right = sum(nearest[name] == right[name] for name in ids)
    print(f"\n{n_right} of {len(ids)} are right; guessing finds {len(ids) / (len(ids) - 1):.0f}. ", end="")
    print("protein-nano comes with biofm as a demonstration: `biofm models` lists models for real work.")


def short(name: str) -> str:
    """Return the entry name of a UniProt id: ``TPIS_ECOLI`` of ``sp|P0A858|TPIS_ECOLI``."""
    return name.rsplit("|", 1)[-1]


if __name__ == "__main__":
    main(sys.argv[1])
