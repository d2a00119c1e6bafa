"""An unfailing file raises no fault of a write before it is asked."""

import io

import pytest

from biofm.core.outputs.unfailing import UnfailingFile


class Full(io.BytesIO):
    """Takes three writes."""

    n_writes = 0

    def write(self, data: object) -> int:
        self.n_writes += 1
        if self.n_writes > 3:
            raise OSError(28, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def test_what_is_written_can_be_read_back() -> None:
    file = UnfailingFile(io.BytesIO())

    with file.faults_raised():
        file.write(b"abcdef")
        file.seek(2)
        file.write(b"CD")
        file.truncate(5)
        assert file.seek(0, io.SEEK_END) == 5
        assert file.seek(-4, io.SEEK_END) == 1
        assert file.read(2) == b"bC"
        assert file.tell() == 3
        assert file.read() == b"De"


def test_after_a_fault_everything_is_accepted_and_the_first_fault_is_raised_at_the_end() -> None:
    full = Full()
    file = UnfailingFile(full)

    def fill() -> None:
        with file.faults_raised():
            for _ in range(5):
                assert file.write(b"ab") == 2
            assert file.seek(0, io.SEEK_END) == 10
            file.seek(0)
            assert file.read(4) == bytes(4)
            raise RuntimeError("what a library made of it")

    with pytest.raises(OSError, match="No space left on device") as caught:
        fill()

    assert isinstance(caught.value.__context__, RuntimeError)
    assert full.getvalue() == b"ababab"


def test_a_file_that_was_closed_below_is_a_fault_too() -> None:
    below = io.BytesIO()
    file = UnfailingFile(below)
    below.close()

    file.write(b"ab")
    file.flush()

    with pytest.raises(ValueError, match="closed file"), file.faults_raised():
        pass


def test_closing_it_leaves_the_file_below_open() -> None:
    below = io.BytesIO()

    UnfailingFile(below).close()

    assert not below.closed
