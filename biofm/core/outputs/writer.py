"""Writers of embeddings: what every format's writer does, and which one belongs to which suffix."""

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

    A file whose writer is never closed is not whole. A writer may be closed without a row; the file then has
    no dimensions either.
    """

    def append(self, block: EmbeddingBlock) -> None:
        """Write a block, or keep it to write it with the next ones."""

    def close(self, provenance: ProvenanceFields) -> None:
        """Write what is left, and how the embeddings were made. The handle stays open."""


def check_suffix(path: Path) -> str:
    """Return the suffix of ``path`` in lower case. Raises OutputError where no writer has this suffix."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is no format for embeddings" if suffix else "the name has no suffix"
        if path == Path("-"):
            what = "embeddings go to a file, not to standard output"
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise OutputError(what, where=str(path), remedy=f"Let the name end in {known}")
    return suffix


def open_writer(
    handle: BinaryIO,
    suffix: str,
    *,
    per_residue: bool,
    scratch_folder: Path | None,
    provenance_file: BinaryIO | None = None,
) -> EmbeddingWriter:
    """Return the writer of this suffix. It writes to ``handle``, an empty, seekable binary file that can be
    read and written.

    ``per_residue``: one row a residue instead of one a protein. ``scratch_folder``: for the temporary files
    of ``.npz`` and ``.safetensors``, as large as the output; by default the system's. ``provenance_file``: a
    second file, needed where ``provenance_path`` names one.

    Raises OutputError: no writer has this suffix. The writer's methods raise OutputError where a temporary
    file cannot be written, and OSError where the handle cannot.
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
