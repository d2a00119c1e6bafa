"""Numbers with their nouns."""

import pytest
from biofm_datasets.text import format_count


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 proteins"), (1, "1 protein"), (2, "2 proteins"), (12_345, "12,345 proteins")]
)
def test_a_number_agrees_with_its_noun(number: int, text: str) -> None:
    assert format_count(number, "protein") == text


def test_an_irregular_plural_is_spelled() -> None:
    assert format_count(2, "entry", "entries") == "2 entries"
