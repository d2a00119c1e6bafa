"""Multinomial logistic regression, for as many classes as there are and not only those that a fit sees."""

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = Union[NDArray[np.floating], "csr_matrix"]

C = 1.0
MOST_ITERATIONS = 300
NEVER = -1e4  # the logit of a class that no fit has seen: its probability is 0


class Logistic(NamedTuple):
    """softmax(weights x + bias), weights of shape (classes, features)."""

    weights: Floats
    bias: Floats

    def probabilities(self, features: Features) -> Floats:
        logits = features @ self.weights.T + self.bias
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        p: Floats = grown / grown.sum(axis=1, keepdims=True)
        return p


def fit_logistic(features: Features, codes: NDArray[np.int64], n_classes: int, *, c: float = C) -> Logistic:
    """Fit to the classes ``codes``; where they are all one class, that has all the probability."""
    weights, bias = np.zeros((n_classes, features.shape[1])), np.full(n_classes, NEVER)
    seen = np.unique(codes)
    bias[seen] = 0
    if len(seen) > 1:
        model = _fit(features, codes, c)
        # Of two classes scikit-learn gives the logit of the second against the first.
        places = seen[1:] if len(seen) == 2 else seen
        weights[places], bias[places] = model.coef_, model.intercept_
    return Logistic(weights, bias)


def _fit(features: Features, codes: NDArray[np.int64], c: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning  # a second, which other commands should not pay
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():  # a fit that is cut short is a baseline all the same
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, max_iter=MOST_ITERATIONS).fit(features, codes)
