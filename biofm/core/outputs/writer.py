"""Which store writes which suffix."""

from pathlib import Path
from typing import BinaryIO, Protocol

from biofm.core.errors import OutputError
from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields
from biofm.core.outputs.csv import CsvWriter
from biofm.core.outputs.h5ad import H5adWriter
from biofm.core.outputs.npz import NpzWriter
from biofm.core.outputs.parquet import ParquetWriter
from biofm.core.outputs.safetensors import SafetensorsWriter

SUFFIXES = (".h5ad", ".parquet", ".npz", ".safetensors", ".csv")


class EmbeddingWriter(Protocol):
    """Takes blocks of embeddings in the input's order, and keeps none of them in memory for long.

    A store that is never closed leaves no whole file behind. One may be closed without a row; it then has no
    dimensions either.
    """

    def append(self, block: EmbeddingBlock) -> None:
        """Write a block, or keep it to write it with the next ones."""

    def close(self, provenance: ProvenanceFields) -> None:
        """Write what is left, and how the embeddings were made. The handle stays open."""


def check_suffix(path: Path) -> str:
    """The suffix of ``path`` in lower case.

    Raises:
        OutputError: No store writes such a file.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is no format for embeddings" if suffix else "the name has no suffix"
        if path == Path("-"):
            what = "embeddings go to a file, not to standard output"
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise OutputError(what, where=str(path), remedy=f"Let the name end in {known}")
    return suffix


def provenance_path(path: Path) -> Path | None:
    """Where to write how the output at ``path`` was made, if its format has no place for it."""
    has_no_place = path.suffix.lower() in (".csv", ".tsv")
    return path.with_name(f"{path.name}.provenance.json") if has_no_place else None


def open_writer(
    handle: BinaryIO,
    suffix: str,
    *,
    per_residue: bool,
    scratch_folder: Path | None,
    provenance_file: BinaryIO | None = None,
) -> EmbeddingWriter:
    """A store that writes to ``handle``, an empty, seekable binary file that can be read and written.

    ``per_residue``: one row a residue instead of one a protein. ``scratch_folder``: for the temporary files
    of ``.npz`` and ``.safetensors``, as large as the output; by default the system's. ``provenance_file``: a
    second file, needed where ``provenance_path`` names one.

    Raises:
        OutputError: No store writes this suffix. From the store's methods: a temporary file cannot be
        written. OSError: From the store's methods: the handle cannot be written.
    """
    match check_suffix(Path(f"output{suffix}")):
        case ".h5ad":
            return H5adWriter(handle, per_residue=per_residue)
        case ".parquet":
            return ParquetWriter(handle, per_residue=per_residue)
        case ".npz":
            return NpzWriter(handle, scratch_folder, per_residue=per_residue)
        case ".safetensors":
            return SafetensorsWriter(handle, scratch_folder, per_residue=per_residue)
    assert provenance_file is not None, "a .csv file has no place for the provenance: see provenance_path"
    return CsvWriter(handle, provenance_file, per_residue=per_residue)
