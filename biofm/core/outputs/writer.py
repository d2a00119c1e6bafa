"""Writers of embeddings: what the writer of each format does, and which suffix it belongs to."""

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
    """Writes blocks of embeddings in the input's order, and keeps few of them in memory.

    The file is complete only after ``close``. If it has no rows, it has no dimensions either.
    """

    def append(self, block: EmbeddingBlock) -> None:
        """Write a block, or keep it to write it with the next ones.

        Args:
            block: The next proteins of the input.
        """

    def close(self, provenance: ProvenanceFields) -> None:
        """Write the remaining rows and the provenance. The handle stays open.

        Args:
            provenance: How the embeddings were made.
        """


def check_suffix(path: Path) -> str:
    """Return the suffix of an output in lower case.

    Args:
        path: The output.

    Raises:
        OutputError: No writer has this suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is not a format for embeddings" if suffix else "the name has no suffix"
        if path == Path("-"):
            what = "embeddings cannot be written to standard output"
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise OutputError(what, where=str(path), remedy=f"Give a file name that ends in {known}")
    return suffix


def open_writer(
    handle: BinaryIO,
    suffix: str,
    *,
    per_residue: bool,
    scratch_folder: Path | None,
    provenance_file: BinaryIO | None = None,
) -> EmbeddingWriter:
    """Return the writer of embeddings in the format of a suffix.

    The writer's methods raise OutputError if a temporary file cannot be written, and OSError if the handle
    cannot be written.

    Args:
        handle: An empty binary file that can be read, written and seeked.
        suffix: One of ``SUFFIXES``.
        per_residue: Whether there is one row per residue instead of one per protein.
        scratch_folder: The folder for the temporary files of ``.npz`` and ``.safetensors``, which become as
            large as the output. None is the system's folder.
        provenance_file: A second file for the provenance, needed if ``provenance_path`` names one.

    Raises:
        OutputError: No writer has this suffix.
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
