"""Sizes and durations are written as people read them."""

import pytest

from biofm.core import format_duration
from biofm.core.text import format_bytes, format_notice


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (312_000, "312 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (4_100_000_000, "4.1 GB"),
        (5e18, "5000 PB"),
    ],
)
def test_a_size_is_told_in_thousands(n_bytes: float, text: str) -> None:
    assert format_bytes(n_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (80, "1 min 20 s"),
        (7500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (-1, "0 s"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        ("records skipped", "records skipped: 1,200"),
        ("The contact head was left out.", "The contact head was left out."),
    ],
)
def test_a_notice_has_its_count_unless_it_is_a_sentence(notice: str, text: str) -> None:
    assert format_notice(notice, 1200) == text
