"""Counts and sizes that no machine has are refused, with the reason."""

from typing import Any

import pytest

from biofm.core import OptionError
from biofm.core.bounds import BOUNDS, check_bound


@pytest.mark.parametrize("name", BOUNDS)
def test_both_ends_are_taken_and_nothing_beyond_them(name: str) -> None:
    bound = BOUNDS[name]
    assert bound.reason
    for value in (bound.least, bound.most, None):
        check_bound(name, value, "--it")
    wrong: tuple[Any, ...] = (bound.least - 1, bound.most + 1, float("nan"), float("inf"), True, "9")
    for value in wrong:
        with pytest.raises(OptionError, match=r"^--it: "):
            check_bound(name, value, "--it")


def test_the_message_says_why() -> None:
    with pytest.raises(OptionError) as caught:
        check_bound("tokens_per_batch", 10**9, "--it")
    assert str(caught.value) == (
        "--it: 1000000000 is too large. Give at most 16,777,216: no device holds a larger batch"
    )
