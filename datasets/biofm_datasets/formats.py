"""What a file of biology holds, found from its name and its first bytes, and opened accordingly."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from biofm_datasets.errors import DataError

FORMATS = {
    ".fasta": "FASTA",
    ".fa": "FASTA",
    ".faa": "FASTA",
    ".fas": "FASTA",
    ".fsa": "FASTA",
    ".fna": "FASTA",
    ".ffn": "FASTA",
    ".afa": "FASTA",
    ".a3m": "FASTA",
    ".csv": "CSV",
    ".tsv": "TSV",
    ".tab": "TSV",
    ".parquet": "Parquet",
    ".pq": "Parquet",
}
"""Suffix -> format."""

WORDS = {"fasta": "FASTA", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}
"""How a user says a format that the name does not, as of standard input."""

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


def is_table(name: str, word: str | None = None) -> bool:
    """Whether a file of this name is read as a table. ``word``: as in ``open_format``."""
    if word is not None:
        return WORDS[word] != "FASTA"
    return FORMATS.get(suffix_of(name), "FASTA") != "FASTA"


@contextmanager
def open_format(stream: BinaryIO, name: str, word: str | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """The content of ``stream``, decompressed where it is gzip, and its format: a value of ``FORMATS``.

    ``word``, one of ``WORDS``, says the format, else the suffix of ``name`` (a final ".gz" set aside); "-"
    and names with an unknown suffix are FASTA when the first character is ">" or ";". The stream is left
    open.

    Raises DataError for content that its name speaks against and, while it is read, for damaged gzip data and
    for a disk that fails.
    """
    with open_content(stream, name) as source:
        kind = _find_format(source, name, word)
        if kind == "Parquet" and (cast(Any, source.raw) is not stream or not source.seekable()):
            what = "a Parquet file is read from its end, so it cannot come through gzip or a pipe"
            raise DataError(what, where=name, remedy="Give the plain file")
        yield source, kind


@contextmanager
def open_content(stream: BinaryIO, name: str) -> Iterator[io.BufferedReader]:
    """What ``stream`` holds, decompressed where it is gzip, whatever its format. The stream is left open.

    Raises DataError, while it is read, for damaged gzip data and for a disk that fails.
    """
    with _buffered(stream) as raw, _faults_named(name):
        yield _decompressed(raw, name)


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
def _faults_named(name: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise DataError("the gzip data end too early", where=name, remedy=_COPY_AGAIN) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the gzip data are damaged ({error})", where=name, remedy=_COPY_AGAIN) from error
    except OSError as error:
        what = f"reading failed ({error.strerror or error})"
        raise DataError(what, where=name, remedy="Check the disk that it lies on") from error


def _decompressed(raw: io.BufferedReader, name: str) -> io.BufferedReader:
    """What the gzip data in ``raw`` hold, or ``raw`` itself where it holds none."""
    head = raw.peek(len(_GZIP_MAGIC))
    if head.startswith(_GZIP_MAGIC):
        return io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), _BUFFER_BYTES)
    if head and name.lower().endswith(".gz"):
        remedy = "Rename it without .gz if it is plain, or download it again"
        raise DataError("the name says gzip but the content is not", where=name, remedy=remedy)
    return raw


def _find_format(source: io.BufferedReader, name: str, word: str | None) -> str:
    """The format that the word or else the suffix says, if the first bytes do not speak against it."""
    head = source.peek(8)
    if not head:
        raise DataError("the file is empty", where=name, remedy="Give one that holds something")
    suffix = suffix_of(name)
    expected, found = WORDS[word] if word else FORMATS.get(suffix), _look(head)
    if expected is None and found == "FASTA":
        return found
    if expected is None:
        what = f"no format has the suffix {suffix!r}" if suffix else "without a suffix only FASTA is read"
        suffixes = ", ".join(FORMATS)
        remedy = f"Say --format, or give a file whose name ends in one of {suffixes} (or those with .gz)"
        raise DataError(what, where=name, remedy=remedy)
    if found not in (None, expected) or (expected == "Parquet" and found is None):
        says = "--format" if word else "the name"
        what = f"{says} says {expected} but the content is {found or 'something else'}"
        remedy = "Name the file after what it holds, or give another one"
        raise DataError(what, where=name, remedy=remedy if word is None else "Say what it holds")
    return expected


def suffix_of(name: str) -> str:
    """In lower case, a final ".gz" set aside."""
    return PurePath(name.lower().removesuffix(".gz")).suffix


def _look(head: bytes) -> str | None:
    """What the first bytes give away of the content."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b">", b";"):
        return "FASTA"
    return next((content for magic, content in _MAGIC.items() if head.startswith(magic)), None)
