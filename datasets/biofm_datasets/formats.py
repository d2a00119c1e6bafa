"""Finds the format of a file from its name and its first bytes, and opens it accordingly."""

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
"""The format that each suffix stands for."""

WORDS = {"fasta": "FASTA", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}
"""The words of ``--format``, for a file whose name does not say its format, such as standard input."""

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
    """Return whether a file of this name is read as a table. ``word`` names the format, as in
    ``open_format``.
    """
    if word is not None:
        return WORDS[word] != "FASTA"
    return FORMATS.get(suffix_of(name), "FASTA") != "FASTA"


@contextmanager
def open_format(stream: BinaryIO, name: str, word: str | None = None) -> Iterator[tuple[BinaryIO, str]]:
    """Yield the content of a stream, decompressed if it is gzip, and its format (a value of ``FORMATS``).

    The stream is left open.

    Args:
        stream: The opened file.
        name: Its name. Its suffix (before a final ".gz") says the format if ``word`` is None. "-" and names
            with an unknown suffix are FASTA if the first character is ">" or ";".
        word: The format, one of ``WORDS``.

    Raises:
        DataError: The content contradicts its name; or, while it is read, gzip data are damaged or the disk
            fails.
    """
    with open_content(stream, name) as source:
        kind = _find_format(source, name, word)
        if kind == "Parquet" and (cast(Any, source.raw) is not stream or not source.seekable()):
            what = "a Parquet file is read from its end, so it cannot come through gzip or a pipe"
            raise DataError(what, where=name, remedy="Give the plain file")
        yield source, kind


@contextmanager
def open_content(stream: BinaryIO, name: str) -> Iterator[io.BufferedReader]:
    """Yield the content of a stream in any format, decompressed if it is gzip. The stream is left open.

    Raises:
        DataError: While it is read, gzip data are damaged or the disk fails.
    """
    with _buffered(stream) as raw, _faults_named(name):
        yield _decompressed(raw, name)


@contextmanager
def _buffered(stream: BinaryIO) -> Iterator[io.BufferedReader]:
    """Yield a reader of the stream that can look ahead. The stream stays open afterwards."""
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
        raise DataError(what, where=name, remedy="Check the disk that holds it") from error


def _decompressed(raw: io.BufferedReader, name: str) -> io.BufferedReader:
    """Return a reader of the decompressed content if ``raw`` holds gzip data, else ``raw`` itself."""
    head = raw.peek(len(_GZIP_MAGIC))
    if head.startswith(_GZIP_MAGIC):
        return io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=raw)), _BUFFER_BYTES)
    if head and name.lower().endswith(".gz"):
        remedy = "Rename it without .gz if it is not compressed, or download it again"
        raise DataError("the name ends in .gz, but the content is not gzip", where=name, remedy=remedy)
    return raw


def _find_format(source: io.BufferedReader, name: str, word: str | None) -> str:
    """Return the format that the word or the suffix says, unless the first bytes contradict it."""
    head = source.peek(8)
    if not head:
        raise DataError("the file is empty", where=name, remedy="Give a file that holds records")
    suffix = suffix_of(name)
    expected, found = WORDS[word] if word else FORMATS.get(suffix), _look(head)
    if expected is None and found == "FASTA":
        return found
    if expected is None:
        what = f"the suffix {suffix!r} stands for no known format" if suffix else "the name has no suffix"
        suffixes = ", ".join(FORMATS)
        remedy = f"Name the format with --format, or give a file that ends in one of {suffixes} (or .gz)"
        raise DataError(what, where=name, remedy=remedy)
    if found not in (None, expected) or (expected == "Parquet" and found is None):
        says = "--format" if word else "the name"
        what = f"{says} says {expected} but the content is {found or 'something else'}"
        remedy = "Rename the file after its content, or give another file"
        raise DataError(what, where=name, remedy=remedy if word is None else "Correct the --format")
    return expected


def suffix_of(name: str) -> str:
    """Return the suffix in lower case, without a final ".gz"."""
    return PurePath(name.lower().removesuffix(".gz")).suffix


def _look(head: bytes) -> str | None:
    """Return the format that the first bytes show; None if they show none."""
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b">", b";"):
        return "FASTA"
    return next((content for magic, content in _MAGIC.items() if head.startswith(magic)), None)
