"""The words of screening are ordered as commec's, and what was not screened to the end is never clear."""

from itertools import combinations_with_replacement

import pytest

from biofm.policy.screening import Screening, gravest, is_clear, outcome_of

ORDER = ["Skip", "Pass", "Warning (Cleared)", "Flag (Cleared)", "Warning", "Flag", "Incomplete", "Error"]


def test_the_words_and_their_order_are_those_of_commec() -> None:
    assert [outcome.value for outcome in sorted(Screening)] == ORDER
    assert [outcome_of(word) for word in ORDER] == sorted(Screening)


def test_only_what_was_screened_to_the_end_is_clear() -> None:
    clear = {outcome.value for outcome in Screening if is_clear(outcome)}
    assert clear == {"Pass", "Warning (Cleared)", "Flag (Cleared)"}


@pytest.mark.parametrize("word", ["pass", "PASS", " Pass", "", None, True, 1, ["Pass"], {}])
def test_an_unknown_word_is_an_error(word: object) -> None:
    assert outcome_of(word) is Screening.ERROR


def test_the_dash_of_an_interrupted_run_is_incomplete() -> None:
    assert outcome_of("-") is Screening.INCOMPLETE


def test_sequences_together_are_clear_only_if_each_one_is() -> None:
    assert gravest([]) is Screening.INCOMPLETE
    for n_sequences in range(1, 4):
        for outcomes in combinations_with_replacement(Screening, n_sequences):
            together = gravest(outcomes)
            assert together >= max(outcomes)
            assert is_clear(together) == all(map(is_clear, outcomes))
