"""How members become one."""

import numpy as np

from biofm.inference.prediction import combine


def test_the_mean_is_over_all_and_the_spread_within_folds() -> None:
    outputs = [np.array([[value]]) for value in (1.0, 3.0, 10.0, 14.0)]
    found = combine(outputs, [0, 0, 1, 1])
    assert found.outputs.tolist() == [[7.0]]
    assert found.spread is not None
    assert found.spread.tolist() == [[1.5]], "the mean of 1 and 2"


def test_members_of_different_folds_have_no_spread() -> None:
    assert combine([np.zeros((2, 1)), np.ones((2, 1))], [0, 1]).spread is None
    assert combine([np.zeros((2, 1))], [0]).spread is None
