"""For the tests of the public verbs: a ledger of their own, and a file of proteins."""

from pathlib import Path

import pytest

import biofm

PROTEINS = [
    ("P69905", "MVLSPADKTNVKAAWGKVGAHAGEYGAEAL"),
    ("P01308", "MALWMRLLPLLALLALWGPDPAAA"),
    ("P69905", "mkt*"),
]


@pytest.fixture(autouse=True)
def _own_ledger_of_test(state_folder: Path) -> None:
    """Give every test of a public verb a ledger of its own."""


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">{id_}\n{sequence}\n" for id_, sequence in PROTEINS))
    return path


@pytest.fixture(scope="session")
def model() -> biofm.Model:
    """Return the bundled model in float32, whose numbers do not depend on the processor."""
    return biofm.load("protein-nano", dtype="float32")
