"""An error says what, where and what to do, and a reader's error becomes one of biofm's."""

import pytest
from biofm_datasets import DataError

from biofm.core import BiofmError, InputError, input_errors


@pytest.mark.parametrize(
    ("where", "remedy", "message"),
    [
        ("a.fasta", "Try b.fasta", "a.fasta: it is empty. Try b.fasta"),
        ("a.fasta", "", "a.fasta: it is empty"),
        ("", "Try b.fasta", "it is empty. Try b.fasta"),
        ("", "", "it is empty"),
    ],
)
def test_an_error_says_where_what_and_what_to_do_next(where: str, remedy: str, message: str) -> None:
    assert str(BiofmError("it is empty", where=where, remedy=remedy)) == message


def test_a_readers_error_becomes_an_input_error_with_the_same_words() -> None:
    fault = DataError("no records", where="a.fasta", remedy="Check the file")

    with pytest.raises(InputError) as caught, input_errors():
        raise fault

    assert str(caught.value) == str(fault)
    assert caught.value.__cause__ is fault


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError), input_errors():
        raise KeyError
