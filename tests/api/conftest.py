"""For the tests of the public verbs: a ledger of their own, and a file of proteins."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import biofm

ReadLedger = Callable[[str], list[tuple[Any, ...]]]

PROTEINS = [
    ("P69905", "MVLSPADKTNVKAAWGKVGAHAGEYGAEAL"),
    ("P01308", "MALWMRLLPLLALLALWGPDPAAA"),
    ("P69905", "mkt*"),
]


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def read_ledger(state_folder: Path) -> ReadLedger:
    """Runs a query on the ledger."""

    def read(query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(state_folder / "biofm" / "ledger.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    return read


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">{id_}\n{sequence}\n" for id_, sequence in PROTEINS))
    return path


@pytest.fixture(scope="session")
def model() -> biofm.Model:
    """The bundled model in float32, so that its numbers do not hang on the processor."""
    return biofm.load("protein-nano", dtype="float32")
