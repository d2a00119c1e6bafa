"""What is known of the work to be done before it is done."""

import io
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from biofm_datasets import Record, read_sequences

from biofm.inference.runs import Intake, intake

RECORDS = [Record(id=str(n), sequence="M" * (10 + n)) for n in range(100)]
N_RESIDUES = sum(len(record.sequence) for record in RECORDS)


@pytest.fixture
def few_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "AHEAD_BYTES", 10 * (intake.RECORD_BYTES + 100))


def test_records_come_out_as_they_went_in(pipe: BinaryIO, few_ahead: None) -> None:
    assert list(Intake(RECORDS, pipe)) == RECORDS


def test_a_short_input_is_known_whole_before_its_first_record_is_worked_on(pipe: BinaryIO) -> None:
    source = iter(RECORDS)
    work = Intake(source, pipe)

    next(iter(work))

    assert next(source, None) is None
    assert work.share_of(N_RESIDUES // 2) == pytest.approx(0.5, abs=1e-3)
    assert work.share_of(N_RESIDUES) == 1.0


def test_of_a_long_pipe_no_share_is_known(pipe: BinaryIO, few_ahead: None) -> None:
    work = Intake(RECORDS, pipe)

    next(iter(work))

    assert work.share_of(10) is None


def test_no_more_than_the_allowance_is_read_ahead(pipe: BinaryIO, few_ahead: None) -> None:
    n_read = 0

    def source() -> Iterator[Record]:
        nonlocal n_read
        for record in RECORDS:
            n_read += 1
            yield record

    for n_done, _ in enumerate(Intake(source(), pipe), start=1):
        assert n_read - n_done <= 14, "14 of the shortest fit into the allowance"


def test_of_a_long_file_the_share_follows_how_far_it_was_read() -> None:
    stream = io.BytesIO(b"".join(b">p%d\n%s\n" % (n, b"M" * 1000) for n in range(6000)))  # 6 MB
    work = Intake(read_sequences(stream, "in.fasta"), stream)

    for n_done, _ in enumerate(work, start=1):
        assert work.share_of(1000 * n_done) == pytest.approx(n_done / 6000, abs=0.08)

    assert work.share_of(6_000_000) == 1.0


def test_looking_at_a_file_leaves_it_where_it_was() -> None:
    stream = io.BytesIO(b"header\n>a\nMKT\n")
    stream.readline()
    Intake([], stream)
    assert stream.read() == b">a\nMKT\n"


def test_of_parquet_which_is_read_from_its_end_no_share_is_known(few_ahead: None) -> None:
    work = Intake(RECORDS, io.BytesIO(b"PAR1" + bytes(1000) + b"PAR1"))
    next(iter(work))
    assert work.share_of(10) is None
