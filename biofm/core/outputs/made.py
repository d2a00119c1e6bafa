"""How an output was made, read back from it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from biofm_datasets.documents import parse_json

from biofm.core.errors import InputError
from biofm.core.outputs.writer import provenance_path

RECORDS = "records_digest"
"""In a provenance, the digest of the input's records; with the rest of it, it decides the output."""


def files_of(output: Path) -> dict[str, tuple[Path, ...]]:
    """What ``is_made_so`` reads, by role."""
    beside = provenance_path(output)
    return {"output": (output,), "provenance": (beside,) if beside and beside.exists() else ()}


def is_made_so(output: BinaryIO, beside: BinaryIO | None, suffix: str, provenance: Mapping[str, Any]) -> bool:
    """Whether an output of this suffix says, or the file ``beside`` it, that it was made as ``provenance``
    has it; it may say more, such as which rows are empty.
    """
    try:
        return _texts(provenance).items() <= _texts(_found(output, beside, suffix)).items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):  # of another program
        return False


def _found(output: BinaryIO, beside: BinaryIO | None, suffix: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {}
    match suffix:
        case ".csv" | ".tsv" if beside is not None:
            found = parse_json(beside.read())["biofm"]
        case ".parquet":
            import pyarrow.parquet  # heavy, as is h5py: this module is imported with every command

            found = parse_json(pyarrow.parquet.read_schema(output).metadata[b"biofm"])
        case ".npz":
            with np.load(output, allow_pickle=False) as file:
                found = parse_json(str(file["provenance"]))
        case ".safetensors":
            n_bytes = int.from_bytes(output.read(8), "little")
            found = parse_json(output.read(min(n_bytes, os.fstat(output.fileno()).st_size)))["__metadata__"]
        case ".h5ad":
            found = _found_in_h5ad(output)
    return found


def _found_in_h5ad(output: BinaryIO) -> Mapping[str, Any]:
    import h5py

    from biofm.core.h5ad.tree import check_tree

    with h5py.File(output, "r") as file:
        check_tree(file, output.name, os.fstat(output.fileno()).st_size)
        values = {name: field[()] for name, field in file["uns"]["biofm"].items()}
    return {
        name: value.decode() if isinstance(value, bytes) else np.asarray(value).item()
        for name, value in values.items()
    }


def _texts(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Values as text: not every format keeps their types."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
    }
