"""Multinomial logistic regression, for as many classes as there are and not only those that a fit sees."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = Union[NDArray[np.floating], "csr_matrix"]
Floats = NDArray[np.float64]
Classify = Callable[[Features], Floats]
"""From features to probabilities, shape (rows, classes)."""

C = 1.0
MOST_ITERATIONS = 300


def fit_logistic(features: Features, codes: NDArray[np.int64], n_classes: int, *, c: float = C) -> Classify:
    """Fit to the classes ``codes``. A class that is not among them gets the probability 0; where it is but
    one, that has all.
    """
    seen = np.unique(codes)
    if len(seen) == 1:
        return lambda rows: np.tile(np.eye(n_classes)[seen[0]], (rows.shape[0], 1))
    model = _fit(features, codes, c)

    def classify(rows: Features) -> Floats:
        probabilities = np.zeros((rows.shape[0], n_classes))
        probabilities[:, model.classes_] = model.predict_proba(rows)
        return probabilities

    return classify


def _fit(features: Features, codes: NDArray[np.int64], c: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning  # a second, which other commands should not pay
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():  # a fit that is cut short is a baseline all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, max_iter=MOST_ITERATIONS).fit(features, codes)
