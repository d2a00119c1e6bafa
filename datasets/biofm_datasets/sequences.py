"""One reader for every file of sequences: name and first bytes say which parser it needs."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from biofm_datasets.errors import DataError
from biofm_datasets.fasta import read_fasta
from biofm_datasets.records import Record
from biofm_datasets.tables import read_delimited, read_parquet

FORMATS = {
    ".fasta": "FASTA",
    ".fa": "FASTA",
    ".faa": "FASTA",
    ".fas": "FASTA",
    ".fsa": "FASTA",
    ".fna": "FASTA",
    ".ffn": "FASTA",
    ".afa": "FASTA",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
}
"""Suffix -> format."""

_BUFFER_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive (an Excel workbook is one)",
    b"BZh": "bzip2 data",
    b"\xfd7zX": "xz data",
    b"\x28\xb5\x2f\xfd": "Zstandard data",
    b"\x89HDF": "HDF5",
    _GZIP_MAGIC: "gzip data inside gzip data",
}
_COPY_AGAIN = "Copy or download it again"


def read_sequences(
    stream: BinaryIO, name: str, *, column: str | None = None, id_column: str | None = None
) -> Iterator[Record]:
    """Yield the records of a FASTA, CSV, TSV or Parquet file in file order, in flat memory.

    ``name`` is the file's name: its suffix (a final ".gz" set aside) says the format, and it stands in
    every message. "-" and names with an unknown suffix are FASTA when the first character is ">" or ";".
    gzip is recognised by its first bytes, whatever the name. Tables need ``column``, the name of their
    column of sequences; ``id_column`` is explained at ``read_delimited``. The stream is left open.

    Raises DataError for every fault of the file as a whole. One record's fault is left to
    ``clean_protein``.
    """
    with _buffered(stream) as raw, _gzip_faults_named(name):
        source = _decompressed(raw, name)
        kind = _find_format(source, name)
        if kind == "FASTA":
            _refuse_columns(name, column, id_column)
            yield from read_fasta(source, name)
        elif kind == "Parquet":
            if source is not raw or not raw.seekable():
                what = "a Parquet file is read from its end, so it cannot come through gzip or a pipe"
                raise DataError(what, where=name, remedy="Give the plain file")
            yield from read_parquet(source, name, column=column, id_column=id_column)
        else:
            delimiter = "," if kind == "CSV" else "\t"
            yield from read_delimited(source, name, delimiter=delimiter, column=column, id_column=id_column)


@contextmanager
def _buffered(stream: BinaryIO) -> Iterator[io.BufferedReader]:
    """A view of ``stream`` that can look ahead, and that leaves it open behind itself."""
    reader = io.BufferedReader(cast(Any, stream), _BUFFER_BYTES)
    try:
        yield reader
    finally:
        if not reader.closed:
            reader.detach()


@contextmanager
def _gzip_faults_named(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise DataError("the gzip data end too early", where=name, remedy=_COPY_AGAIN) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the gzip data are damaged ({error})", where=name, remedy=_COPY_AGAIN) from error


def _decompressed(raw: io.BufferedReader, name: str) -> io.BufferedReader:
    """What the gzip data in ``raw`` hold, or ``raw`` itself where it holds none."""
    head = raw.peek(len(_GZIP_MAGIC))
    if head.startswith(_GZIP_MAGIC):
        return io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), _BUFFER_BYTES)
    if head and name.lower().endswith(".gz"):
        remedy = "Rename it without .gz if it is plain, or download it again"
        raise DataError("the name says gzip but the content is not", where=name, remedy=remedy)
    return raw


def _find_format(source: io.BufferedReader, name: str) -> str:
    """The format that the suffix says, if the first bytes do not speak against it."""
    head = source.peek(8)
    if not head:
        raise DataError("the file is empty", where=name, remedy="Give a file with at least one sequence")
    suffix = PurePath(name.lower().removesuffix(".gz")).suffix
    expected, found = FORMATS.get(suffix), _look(head)
    if expected is None and found == "FASTA":
        return found
    if expected is None:
        what = f"no format has the suffix {suffix!r}" if suffix else "without a suffix only FASTA is read"
        remedy = f"Give FASTA, or a file whose name ends in one of {', '.join(FORMATS)} (or those with .gz)"
        raise DataError(what, where=name, remedy=remedy)
    if found not in (None, expected) or (expected == "Parquet" and found is None):
        what = f"the name says {expected} but the content is {found or 'something else'}"
        raise DataError(what, where=name, remedy="Name the file after what it holds, or give another one")
    return expected


def _look(head: bytes) -> str | None:
    """What the first bytes give away of the content."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b">", b";"):
        return "FASTA"
    return next((content for magic, content in _MAGIC.items() if head.startswith(magic)), None)


def _refuse_columns(name: str, column: str | None, id_column: str | None) -> None:
    if column is not None or id_column is not None:
        raise DataError("a column was chosen, but FASTA has none", where=name, remedy="Leave the column out")
