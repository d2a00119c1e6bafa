"""One reader for every file of sequences: the right parser is found by name and first bytes."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import BinaryIO, cast

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

_BUFFER_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_MAGIC = {
    b"PAR1": "Parquet",
    b"PK\x03\x04": "a zip archive (an Excel workbook is one)",
    b"BZh": "bzip2 data",
    b"\xfd7zX": "xz data",
    b"\x28\xb5\x2f\xfd": "Zstandard data",
    b"\x89HDF": "HDF5",
    _GZIP_MAGIC: "gzip data twice over",
}


def read_sequences(
    stream: BinaryIO, name: str, *, column: str | None = None, id_column: str | None = None
) -> Iterator[Record]:
    """Yield the records of a FASTA, CSV, TSV or Parquet file in file order, in flat memory.

    ``name`` is the file's name: its suffix (a final ".gz" set aside) says the format, and it stands in
    every message. "-" and names with another suffix are FASTA when the first character is ">" or ";".
    gzip is recognised by its first bytes, whatever the name. Tables need ``column``, the name of the
    column of sequences; ``id_column`` is explained at ``read_delimited``. The stream is left open.

    Raises DataError for every fault of the file as a whole. One record's fault is found by
    ``clean_protein``.
    """
    with _buffered(stream) as raw, _gzip_faults_named(name):
        source = raw
        is_gzip = raw.peek(2).startswith(_GZIP_MAGIC)
        if is_gzip:
            source = io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=raw)), _BUFFER_BYTES)
        elif name.lower().endswith(".gz") and raw.peek(1):
            raise DataError("the name ends in .gz but this is not gzip data", where=name, remedy="Rename it")
        file_format = _find_format(source, name)
        if file_format == "FASTA":
            _refuse_columns(name, column, id_column)
            yield from read_fasta(source, name)
        elif file_format == "Parquet":
            if is_gzip or not raw.seekable():
                raise DataError(
                    "Parquet cannot be read from gzip or a pipe", where=name, remedy="Give the plain file"
                )
            yield from read_parquet(source, name, column=column, id_column=id_column)
        else:
            delimiter = "," if file_format == "CSV" else "\t"
            yield from read_delimited(source, name, delimiter=delimiter, column=column, id_column=id_column)


@contextmanager
def _buffered(stream: BinaryIO) -> Iterator[io.BufferedReader]:
    """A view of ``stream`` that can look ahead, and that leaves it open behind itself."""
    reader = io.BufferedReader(cast(io.RawIOBase, stream), _BUFFER_BYTES)
    try:
        yield reader
    finally:
        reader.detach()


@contextmanager
def _gzip_faults_named(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise DataError(
            "the gzip data end too early", where=name, remedy="Copy or download it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"the gzip data are damaged ({error})", where=name, remedy="Copy or download it again"
        ) from error


def _find_format(source: io.BufferedReader, name: str) -> str:
    """The format that the suffix says, if the first bytes do not speak against it."""
    head = source.peek(8)
    if not head:
        raise DataError("the file is empty", where=name, remedy="Give a file with at least one sequence")
    suffix = PurePath(name.lower().removesuffix(".gz")).suffix
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    looks_like_fasta = first in (b">", b";")
    found = next((kind for magic, kind in _OTHER_MAGIC.items() if head.startswith(magic)), None)
    expected = FORMATS.get(suffix, "FASTA" if looks_like_fasta else None)
    if expected is None:
        known = ", ".join(FORMATS)
        what = f"the suffix {suffix!r} is of no known format" if suffix else "the format cannot be told"
        raise DataError(what, where=name, remedy=f"Name the file with one of {known}, or give FASTA")
    if expected == "Parquet" and found is None:
        found = "FASTA" if looks_like_fasta else "not Parquet"
    if expected in ("CSV", "TSV") and first == b">":
        found = "FASTA"
    if found not in (None, expected):
        raise DataError(f"the name says {expected} but the content is {found}", where=name, remedy="x")
    return expected


def _refuse_columns(name: str, column: str | None, id_column: str | None) -> None:
    if column is not None or id_column is not None:
        raise DataError("a column was chosen, but FASTA has none", where=name, remedy="Leave --column out")
