"""``read_sequences``: which parser a file gets, compression, streams, memory."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest
from biofm_datasets import DataError, Record, read_sequences
from pyarrow import parquet

FASTA = b">a\nMV\n>b\nMK\n"
MEBIBYTE = 1 << 20


def read(content: bytes, name: str) -> list[str]:
    return [record.sequence for record in read_sequences(io.BytesIO(content), name)]


@pytest.mark.parametrize(
    "name",
    [
        "x.fasta",
        "x.fa",
        "x.faa",
        "x.FASTA",
        "a.b.fas",
        "dir.csv/x.fa",
        "x",
        "-",
        "x.txt",
        "x.csv.orig",
        ".fasta",
    ],
)
@pytest.mark.parametrize("is_gzip", [False, True])
def test_fasta_is_read_under_every_likely_name(name: str, is_gzip: bool) -> None:
    assert read(gzip.compress(FASTA) if is_gzip else FASTA, name) == ["MV", "MK"]


@pytest.mark.parametrize("name", ["x.fasta.gz", "x.FA.GZ", "x.gz"])
def test_a_gzip_suffix_is_set_aside(name: str) -> None:
    assert read(gzip.compress(FASTA), name) == ["MV", "MK"]


def test_gzip_in_several_members_is_read_whole() -> None:
    assert read(gzip.compress(FASTA) + gzip.compress(b">c\nML\n"), "x.fasta.gz") == ["MV", "MK", "ML"]


def test_a_comment_first_is_fasta_too() -> None:
    assert read(b"\n;made by hand\n" + FASTA, "-") == ["MV", "MK"]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here whose reading always fails")
def test_a_disk_that_fails_is_named() -> None:
    with (
        Path("/proc/self/mem").open("rb") as unreadable,
        pytest.raises(DataError, match=r"x\.fasta: reading failed \(Input/output error\)\. Check the disk"),
    ):
        list(read_sequences(unreadable, "x.fasta"))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"id,seq\na,MK\n", "-", "-: the name has no suffix. Name the format with --format, or give a file"),
        (
            b"id,seq\na,MK\n",
            "x.txt",
            "x.txt: the suffix '.txt' stands for no known format. Name the format",
        ),
        (b"MK\n", "x.doc.gz", "x.doc.gz: the name ends in .gz, but the content is not gzip. Rename it"),
        (
            gzip.compress(b"MK\n"),
            "x.doc.gz",
            "x.doc.gz: the suffix '.doc' stands for no known format. Name the format",
        ),
        (
            FASTA,
            "x.fasta.gz",
            "x.fasta.gz: the name ends in .gz, but the content is not gzip. Rename it",
        ),
        (b"", "x.fasta.gz", "x.fasta.gz: the file is empty. Give"),
        (gzip.compress(b""), "x.fasta.gz", "x.fasta.gz: the file is empty. Give"),
        (
            gzip.compress(FASTA)[:-1],
            "x.fasta.gz",
            "x.fasta.gz: the gzip data end too early. Copy or download",
        ),
        (
            gzip.compress(FASTA)[:12],
            "x.fasta.gz",
            "x.fasta.gz: the gzip data end too early. Copy or download",
        ),
        (gzip.compress(FASTA)[:5], "x.fasta", "x.fasta: the gzip data end too early. Copy or download it"),
        (
            gzip.compress(FASTA) + b"more",
            "x.fasta.gz",
            "x.fasta.gz: the gzip data are damaged (Not a gzipped",
        ),
        (
            gzip.compress(gzip.compress(FASTA)),
            "x.fa.gz",
            "x.fa.gz: the name says FASTA but the content is gzip",
        ),
        (
            bz2.compress(FASTA),
            "x.fasta",
            "x.fasta: the name says FASTA but the content is bzip2 data. Re",
        ),
        (lzma.compress(FASTA), "x.fasta", "x.fasta: the name says FASTA but the content is xz data. Rename"),
        (
            bz2.compress(FASTA),
            "x.fasta.bz2",
            "x.fasta.bz2: the suffix '.bz2' stands for no known format. Name the format",
        ),
        (b"PAR1....", "x.fasta", "x.fasta: the name says FASTA but the content is Parquet. Rename the file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(content: bytes, name: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content, name)
    assert str(caught.value).startswith(message)


def test_gzip_data_that_no_deflate_block_begins_with_are_damaged() -> None:
    content = bytearray(gzip.compress(FASTA))
    content[10] |= 0b110  # the type of the first block: the fourth one does not exist
    with pytest.raises(DataError, match=r"^x\.fasta: the gzip data are damaged \(.*invalid block type"):
        read(bytes(content), "x.fasta")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_damaged_gzip_never_passes_for_whole(place: float) -> None:
    content = bytearray(gzip.compress(b">a\n" + os.urandom(60_000).hex().encode() + b"\n"))
    content[int(place * len(content))] ^= 0xFF
    with pytest.raises(DataError, match=r"^x\.fasta\.gz: the gzip data (are damaged|end too early)"):
        read(bytes(content), "x.fasta.gz")


def test_a_truncated_gzip_delivers_what_came_before() -> None:
    content = b"".join(b">%d\n%s\n" % (i, os.urandom(500).hex().encode()) for i in range(1000))
    records = read_sequences(io.BytesIO(gzip.compress(content)[:-1000]), "x.fasta.gz")
    assert next(records).id == "0"
    with pytest.raises(DataError, match="end too early"):
        list(records)


@pytest.mark.parametrize("name", ["x.fasta", "x.fasta.gz", "x.csv", "x.parquet"])
@pytest.mark.parametrize("n_taken", [0, 1, None])
def test_the_stream_is_left_open(name: str, n_taken: int | None) -> None:
    stream = io.BytesIO(content_named(name, n_records=10))
    column = None if ".fasta" in name else "seq"
    records = read_sequences(stream, name, column=column)
    assert len(list(islice(records, n_taken))) == (10 if n_taken is None else n_taken)
    del records
    assert not stream.closed


def test_a_stream_may_be_closed_before_its_records() -> None:
    with io.BytesIO(FASTA) as stream:
        records = read_sequences(stream, "x.fasta")
        assert next(records).sequence == "MV"
    cast("Generator[Record]", records).close()


def content_named(name: str, n_records: int) -> bytes:
    if name.endswith(".parquet"):
        sink = io.BytesIO()
        columns = {"seq": [os.urandom(200).hex() for _ in range(n_records)]}
        parquet.write_table(pa.table(columns), sink, row_group_size=1000)
        return sink.getvalue()
    if ".fasta" in name:
        content = b"".join(b">%d\n%s\n" % (i, os.urandom(200).hex().encode()) for i in range(n_records))
    else:
        lines = [b"%d,%s" % (i, os.urandom(200).hex().encode()) for i in range(n_records)]
        content = b"id,seq\n" + b"\n".join(lines)
    return gzip.compress(content, 1) if name.endswith(".gz") else content


class Endless(io.RawIOBase):
    """A pipe that never ends: it cannot seek, and it counts what was taken from it."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        content = (self.line * (len(buffer) // len(self.line) + 1))[
            : len(buffer) // len(self.line) * len(self.line)
        ]
        buffer[: len(content)] = content
        self.n_bytes += len(content)
        return len(content)


@pytest.mark.parametrize(("name", "line"), [("-", b">a\nMKVLS\n"), ("x.csv", b"id,seq\n")])
def test_a_pipe_without_end_gives_its_first_records_at_once(name: str, line: bytes) -> None:
    pipe = Endless(line)
    records = read_sequences(pipe, name, column=None if name == "-" else "seq")  # type: ignore[arg-type]
    assert len(list(islice(records, 1000))) == 1000
    assert pipe.n_bytes < 2 * MEBIBYTE


def test_a_real_pipe_is_read(tmp_path: Path) -> None:
    content = content_named("x.fasta", 3000)
    reading, writing = os.pipe()
    writer = threading.Thread(target=write_all, args=(writing, content))
    writer.start()
    with open(reading, "rb", buffering=0) as stream:
        records = list(read_sequences(stream, "-"))  # type: ignore[arg-type]
    writer.join()
    assert len(records) == 3000
    assert {len(record.sequence) for record in records} == {400}


def write_all(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb") as pipe:
        pipe.write(content)


def test_parquet_through_a_pipe_is_refused() -> None:
    with pytest.raises(DataError, match="cannot come through gzip or a pipe"):
        next(read_sequences(Endless(b"PAR1"), "x.parquet", column="seq"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["x.fasta", "x.fasta.gz", "x.csv", "x.csv.gz", "x.parquet"])
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content_named(name, 15_000))
    column = None if ".fasta" in name else "seq"
    with path.open("rb") as stream:
        records = read_sequences(stream, name, column=column)
        next(records)  # imports are not the file's memory
        tracemalloc.start()
        arrow_before = pa.total_allocated_bytes()
        arrow = max(arrow_held(records)) - arrow_before
        _, python = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert python + max(arrow, 0) < 3 * MEBIBYTE


def arrow_held(records: Iterator[object]) -> Iterator[int]:
    for _ in records:
        yield pa.total_allocated_bytes()


def test_importing_the_readers_loads_nothing_heavy() -> None:
    heavy = {"numpy", "Bio", "pyarrow", "torch", "biofm"}
    code = f"import sys, biofm_datasets; print(sorted({heavy!r} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert result.stdout.strip() == "[]"
