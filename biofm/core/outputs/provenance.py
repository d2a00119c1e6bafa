"""The provenance of an output: where it is written, and how it is read back."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from biofm_datasets.documents import parse_json

from biofm.core.errors import InputError

RECORDS = "records_digest"
"""The name under which a provenance keeps the digest of the input's records."""


def provenance_path(path: Path) -> Path | None:
    """Return the file beside an output that holds its provenance, or None if the output holds it itself.

    Args:
        path: The output; its suffix decides.
    """
    has_no_place = path.suffix.lower() in (".csv", ".tsv")
    return path.with_name(f"{path.name}.provenance.json") if has_no_place else None


def files_with_provenance(output: Path) -> dict[str, tuple[Path, ...]]:
    """Return the files that ``has_provenance`` reads, by their roles in a permit.

    Args:
        output: The path of an output.
    """
    beside = provenance_path(output)
    return {"output": (output,), "provenance": (beside,) if beside and beside.exists() else ()}


def has_provenance(
    output: BinaryIO, beside: BinaryIO | None, suffix: str, provenance: Mapping[str, Any]
) -> bool:
    """Return whether an output, or the file beside it, states every field of a provenance.

    It may state more fields, such as how many rows are empty.

    Args:
        output: The open output.
        beside: The open file of ``provenance_path``, or None if there is none.
        suffix: The suffix of the output in lower case, which names its format.
        provenance: The expected fields.
    """
    try:
        return _texts(provenance).items() <= _texts(_found(output, beside, suffix)).items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError):  # Another program's file.
        return False


def _found(output: BinaryIO, beside: BinaryIO | None, suffix: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = {}
    match suffix:
        case ".csv" | ".tsv" if beside is not None:
            found = parse_json(beside.read())["biofm"]
        case ".parquet":
            import pyarrow.parquet  # Like h5py, it is heavy, and every command imports this module.

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
    """Return the values as text, because some formats do not keep their types."""
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
    }
