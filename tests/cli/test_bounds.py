"""No option and no file takes the machine down: each is refused by name, in bounded memory."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise

pytestmark = pytest.mark.slow

ADDRESSES = 3 << 30  # of a process, which has 1 GB of them when it begins


def one_long_line(folder: Path) -> None:
    (folder / "p.fasta").write_bytes(b">p\n" + b"A" * 200_000_000)


def packed_bomb(folder: Path) -> None:
    """Ten GB of one line in a file of some MB."""
    head, body = gzip.compress(b">p\n"), gzip.compress(b"A" * 10_000_000)
    (folder / "p.fasta.gz").write_bytes(head + body * 1000)


def long_protein(folder: Path) -> None:
    (folder / "p.fasta").write_bytes(b">a\nMKT\n>p\n" + b"ACDEFGHIKL" * 400_000)


def many_proteins(folder: Path) -> None:
    """Six million residues, no two proteins alike."""
    ends = map("".join, product("ACDEFGHIKLMNPQRSTVWY", repeat=3))
    records = (f">p{i}\n{'ACDEFGHIKL' * 100}{end}\n" for i, end in zip(range(6000), ends, strict=False))
    (folder / "p.fasta").write_text("".join(records))


def two_proteins(folder: Path) -> None:
    (folder / "p.fasta").write_text(">a\nMKTAYIAKQR\n>b\nMVLSPADKTN\n")


PRETRAIN = ("pretrain", "p.fasta", "-o", "out", "--held-out", "0", "--steps", "2")
CASES: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "a line of 200 MB": (one_long_line, ("embed", "p.fasta", "-o", "out.npz"), "p.fasta"),
    "a packed bomb": (packed_bomb, ("embed", "p.fasta.gz", "-o", "out.npz"), "p.fasta.gz"),
    "a protein beyond memory": (
        long_protein, ("embed", "p.fasta", "-o", "out.npz"),
        "p.fasta, record 2 (p): to run 4,000,000 residues at once takes",
    ),
    "a batch beyond memory": (
        many_proteins, ("embed", "p.fasta", "-o", "out.npz", "--tokens-per-batch", "6000000"),
        "--tokens-per-batch: a batch of 5,",
    ),
    "a map beyond memory": (
        long_protein, ("contacts", "p.fasta", "-o", "out.npz", "-m", "MODEL"),
        "p.fasta, record 2 (p): 4,000,000 residues",
    ),
    "processes without end": (
        two_proteins, (*PRETRAIN, "--set", "n_workers=100000"), "--set n_workers: 100000 is too large"
    ),
    "a configuration without end": (
        two_proteins, (*PRETRAIN, "--config", "/dev/zero"), "/dev/zero: this is a device, not a file"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def with_contacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model that predicts contacts."""
    folder = tmp_path_factory.mktemp("with-contacts")
    model = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2), with_contacts=True)
    initialise(model, seed=1)
    for name, content in write_checkpoint(Checkpoint("ESM-2", model.eval(), ProteinTokenizer())).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_by_name_in_bounded_memory(case: str, tmp_path: Path, with_contacts: Path) -> None:
    make, words, message = CASES[case]
    make(tmp_path)
    words = tuple(word.replace("MODEL", str(with_contacts)) for word in words)
    before = {path.name for path in tmp_path.iterdir()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = ["bash", "-c", f'ulimit -v {ADDRESSES >> 10}; exec "$@"', "bash"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "biofm.cli", *words, "--quiet"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"biofm: {message}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before
