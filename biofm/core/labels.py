"""Labels that travel with files: an output states, in its provenance, the labels of what it was made from.

The letters stand in the field ``labels`` of a provenance (``biofm.policy.labels`` says what each means). They
are read back from the provenance alone, whichever program has written the file: a stated label can only be
added to what else is known of the file, so that nothing is won by leaving it out.

An output folder that was made from private data has a document ``biofm-labels.json``.
"""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from biofm_datasets.documents import parse_json

from biofm.core.errors import InputError, OutputError
from biofm.core.provenance import LABELS

OF_FOLDER = "biofm-labels.json"
"""The document of a folder that states the labels of all files in it."""
MOST_LEVELS = 3
"""How many folders above a file are looked at."""
MOST_BYTES = 16 << 20
"""The largest header, footer or document that is read."""
PARSED = (b"PAR1", b"PK", b"\x89HDF", b"SQLite")
"""How files begin of which only a parser can tell what they state."""
LONGEST_MAGIC = max(map(len, PARSED))
FAULTS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError, struct.error,
    zipfile.BadZipFile, zlib.error, InputError, OutputError,
)  # fmt: skip
"""What readers raise on the files of others, which state no labels."""


def united_labels(*letters: str) -> str:
    """Return the letters of several sets of labels as those of one.

    Args:
        letters: The letters of each.
    """
    return "".join(letter for letter in "UPXE" if any(letter in one for one in letters))


def documents_of_labels(path: Path) -> Iterator[Path]:
    """Yield where the labels of a file may be stated beside it, and above it.

    Args:
        path: The absolute path of the file.
    """
    yield path.with_name(f"{path.name}.provenance.json")
    for folder in list(path.parents)[:MOST_LEVELS]:
        yield folder / OF_FOLDER


def stated_labels(file: BinaryIO, *, is_parsed: bool = True) -> str:
    """Return the letters that a file states as its labels; "" if it states none, or is of another program.

    Args:
        file: The open file, which is an ordinary one. Its first bytes say its format.
        is_parsed: Whether HDF5, Parquet, zip archives and SQLite may be parsed in this process. Otherwise
            such a file counts as private, because it may say so.
    """
    if not is_parsed and file.read(LONGEST_MAGIC).startswith(PARSED):
        return "P"
    file.seek(0)
    try:
        found = _provenance_of(file).get(LABELS)
        if isinstance(found, bytes):
            found = found.decode()
        return united_labels(found) if isinstance(found, str) else ""
    except FAULTS:
        return ""


def _provenance_of(file: BinaryIO) -> Mapping[str, Any]:
    """Return the provenance of a file, or as much of it as holds the labels."""
    start = file.read(16)
    n_header = int.from_bytes(start[:8], "little")
    found: Mapping[str, Any] = {}
    if start.startswith(b"PAR1"):
        found = _of_parquet(file)
    elif start.startswith(b"PK"):
        found = _of_archive(file)
    elif start.startswith(b"\x89HDF"):
        found = _of_h5ad(file)
    elif start.startswith(b"SQLite"):
        from biofm.core.journal import Journal  # only shards need SQLite

        with closing(Journal(Path(file.name), read_only=True)) as journal:
            found = journal.provenance
    elif start[8:9] == b"{" and n_header <= MOST_BYTES:
        file.seek(8)
        found = _of_document(file.read(n_header), ("__metadata__",))
    elif start.lstrip()[:1] == b"{" and os.fstat(file.fileno()).st_size <= MOST_BYTES:
        file.seek(0)
        found = _of_document(file.read(MOST_BYTES), ("biofm", "provenance"))
    return found


def _of_document(text: bytes, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Return the part of a JSON document that states labels: one of these, or the document itself."""
    if f'"{LABELS}"'.encode() not in text:
        return {}
    document = parse_json(text)
    parts = [document, *(document.get(name) for name in names)]
    letters = [part.get(LABELS) for part in parts if isinstance(part, dict)]
    return {LABELS: united_labels(*(one for one in letters if isinstance(one, str)))}


def _of_parquet(file: BinaryIO) -> Mapping[str, Any]:
    import pyarrow.parquet  # Like h5py, it is heavy, and is loaded for a file of its format alone.

    file.seek(-8, os.SEEK_END)
    if int.from_bytes(file.read(4), "little") > MOST_BYTES:
        return {}
    file.seek(0)
    found: Mapping[str, Any] = parse_json(pyarrow.parquet.read_schema(file).metadata[b"biofm"])
    return found


def _of_archive(file: BinaryIO) -> Mapping[str, Any]:
    from numpy.lib.format import read_array  # A worker must not import it before it is confined.

    with zipfile.ZipFile(file) as archive:
        member = archive.getinfo("provenance.npy")
        if member.file_size > MOST_BYTES:
            return {}
        with archive.open(member) as array:
            found: Mapping[str, Any] = parse_json(str(read_array(array, allow_pickle=False)))
    return found


def _of_h5ad(file: BinaryIO) -> Mapping[str, Any]:
    import h5py

    from biofm.core.h5ad.tree import check_tree

    with h5py.File(file, "r") as opened:
        check_tree(opened, file.name, os.fstat(file.fileno()).st_size)
        found = opened["uns"]["biofm"][LABELS]
        return {LABELS: found[()]} if found.shape == () else {}
