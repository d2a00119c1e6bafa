"""Reads files of embeddings with the usual reader of each format."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors import safe_open


class Table(NamedTuple):
    """Holds what a file of embeddings has: the label of each row, the rows, and how they were made."""

    ids: list[str]
    values: NDArray[Any]
    provenance: dict[str, Any]


def read_embeddings(path: Path) -> Table:
    """Read a file by the reader of its suffix."""
    return READERS[path.suffix](path)


def read_h5ad(path: Path) -> Table:
    data = anndata.read_h5ad(path)
    return Table(list(data.obs_names), np.asarray(data.X), dict(data.uns["biofm"]))


def read_parquet(path: Path) -> Table:
    table = pq.read_table(path)
    values = np.array(table["embedding"].to_pylist(), np.float32)
    return Table(table["id"].to_pylist(), values, json.loads(table.schema.metadata[b"biofm"]))


def read_npz(path: Path) -> Table:
    data = np.load(path, allow_pickle=False)
    return Table(data["ids"].tolist(), data["embeddings"], json.loads(str(data["provenance"])))


def read_safetensors(path: Path) -> Table:
    with safe_open(path, "np") as file:
        text, offsets = bytes(file.get_tensor("ids_utf8")), file.get_tensor("ids_offsets")
        ids = [text[start:stop].decode() for start, stop in pairwise(offsets)]
        metadata = file.metadata()
        numbers = {name: int(metadata[name]) for name in ("layer", "window") if name in metadata}
        return Table(ids, file.get_tensor("embeddings"), metadata | numbers)


def read_csv(path: Path) -> Table:
    table = pd.read_csv(path, dtype={"id": str} | {f"e{i}": np.float32 for i in range(10_000)})
    provenance = json.loads(path.with_name(f"{path.name}.provenance.json").read_text())
    return Table(list(table["id"]), table.iloc[:, 2:].to_numpy(np.float32), provenance["biofm"])


READERS = {
    ".h5ad": read_h5ad,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".csv": read_csv,
}
