"""Records and errors say where they belong."""

import pytest
from biofm_datasets import DataError, Record


def test_a_record_names_its_place() -> None:
    record = Record("P69905", "MV", number=3, source="blood.fasta")
    assert record.where == "blood.fasta, record 3 (P69905)"


def test_a_record_of_no_file_names_its_number_and_id() -> None:
    assert Record("P69905", "MV", number=3).where == "record 3 (P69905)"


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Record("P69905", "MV").sequence = "MA"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("it is empty"), "it is empty"),
        (DataError("it is empty", where="a.fasta"), "a.fasta: it is empty"),
        (DataError("it is empty", remedy="Fill it"), "it is empty. Fill it"),
        (DataError("it is empty", where="a.fasta", remedy="Fill it"), "a.fasta: it is empty. Fill it"),
    ],
)
def test_an_error_reads_place_fault_remedy(error: DataError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, ValueError)
