"""Sizes as people read them."""

import pytest

from biofm.core.units import format_bytes


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
