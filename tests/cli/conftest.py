"""The command line, run in this process; a tiny ESM-2 for it; and readers of what it writes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from biofm.cli import main
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise
from biofm.tokenizers import ProteinTokenizer


class Outcome(NamedTuple):
    """What a command left: its exit status, standard output and standard error."""

    status: int | str | None
    out: str
    err: str


class Table(NamedTuple):
    """What a file of embeddings holds: the label of each row, the rows, and how they were made."""

    ids: list[str]
    values: NDArray[Any]
    provenance: dict[str, Any]


Biofm = Callable[..., Outcome]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def biofm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Biofm]:
    """Runs ``biofm`` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["biofm", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Outcome(end.value.code, *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts ``biofm`` with these words as a process of its own, in an empty folder."""

    def start_with(*words: str, **options: Any) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
        return subprocess.Popen(
            [sys.executable, "-m", "biofm.cli", *words],
            cwd=tmp_path, env=environment, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    return start_with


@pytest.fixture(scope="session")
def tiny_esm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of ``transformers`` that holds a random ESM-2 of two layers."""
    folder = tmp_path_factory.mktemp("models") / "tiny-esm2"
    folder.mkdir()
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=1)
    checkpoint = Checkpoint("ESM-2", module.eval(), ProteinTokenizer())
    for name, content in write_checkpoint(checkpoint).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def damaged(tmp_path: Path, tiny_esm2: Path) -> Callable[[str, torch.Tensor | None], Path]:
    """A copy of the tiny model with one tensor replaced, or removed."""
    from safetensors.torch import load_file, save_file

    def damage(name: str, tensor: torch.Tensor | None) -> Path:
        folder = tmp_path / "damaged"
        folder.mkdir()
        (folder / "config.json").write_bytes((tiny_esm2 / "config.json").read_bytes())
        state = load_file(tiny_esm2 / "model.safetensors")
        del state[name]
        save_file(state | ({name: tensor} if tensor is not None else {}), folder / "model.safetensors")
        return folder

    return damage


@pytest.fixture(scope="session")
def read_table() -> Callable[[Path], Table]:
    """Reads a file of embeddings with its format's usual reader."""
    return lambda path: READERS[path.suffix](path)


def read_h5ad(path: Path) -> Table:
    data = anndata.read_h5ad(path)
    return Table(list(data.obs_names), np.asarray(data.X), dict(data.uns["biofm"]))


def read_parquet(path: Path) -> Table:
    table = pq.read_table(path)
    values = np.array(table["embedding"].to_pylist(), np.float32)
    return Table(table["id"].to_pylist(), values, json.loads(table.schema.metadata[b"biofm"]))


def read_npz(path: Path) -> Table:
    data = np.load(path, allow_pickle=False)
    return Table(list(data["ids"]), data["embeddings"], json.loads(str(data["provenance"])))


def read_safetensors(path: Path) -> Table:
    with safe_open(path, "np") as file:
        text, offsets = bytes(file.get_tensor("ids_utf8")), file.get_tensor("ids_offsets")
        ids = [text[start:stop].decode() for start, stop in pairwise(offsets)]
        return Table(ids, file.get_tensor("embeddings"), file.metadata())


def read_csv(path: Path) -> Table:
    table = pd.read_csv(path, dtype={"id": str})
    provenance = json.loads(path.with_name(f"{path.name}.provenance.json").read_text())
    return Table(list(table["id"]), table.iloc[:, 2:].to_numpy(np.float32), provenance["biofm"])


READERS = {
    ".h5ad": read_h5ad,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".csv": read_csv,
}
