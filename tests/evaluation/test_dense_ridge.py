"""The probe's ridge against scikit-learn's, and its penalty against the definition of the score."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from biofm.evaluation import fit_dense_ridge, linear_models, scale_of
from biofm.evaluation.linear_models import ALPHAS

Floats = NDArray[np.float64]


def sample(n: int, d: int, noise: float, seed: int = 0) -> tuple[NDArray[np.float32], Floats]:
    rng = np.random.default_rng(seed)
    vectors = (rng.normal(size=(n, d)) * rng.uniform(0.1, 3, d) + rng.normal(size=d)).astype(np.float32)
    truth = vectors[:, : d // 2].sum(1) + noise * rng.normal(size=n)
    return vectors, truth.astype(np.float64)


def standardised(vectors: NDArray[np.float32]) -> Floats:
    x = vectors.astype(np.float64)
    found: Floats = (x - x.mean(0)) / x.std(0)
    return found


def score(x: Floats, y: Floats, alpha: float) -> float:
    """n |y - Hy|² / tr(I - H)², the mean among what is fitted."""
    n = len(y)
    hat = x @ np.linalg.solve(x.T @ x + alpha * np.eye(x.shape[1]), x.T) + 1 / n
    return float(n * ((y - hat @ y) ** 2).sum() / np.trace(np.eye(n) - hat) ** 2)


@pytest.mark.parametrize(("n", "d", "noise"), [(80, 10, 0.5), (80, 10, 20.0), (25, 60, 1.0)])
def test_the_penalty_is_the_best_by_generalised_cross_validation(n: int, d: int, noise: float) -> None:
    vectors, truth = sample(n, d, noise)
    found = fit_dense_ridge(vectors, np.arange(n), truth)
    x = standardised(vectors)
    scores = [score(x, truth, alpha) for alpha in ALPHAS]
    assert found.alpha == ALPHAS[int(np.argmin(scores))]
    expected = Ridge(alpha=found.alpha).fit(x, truth)
    np.testing.assert_allclose(
        vectors @ found.weights + found.bias, expected.predict(x), atol=1e-5 * truth.std()
    )


def test_noise_is_penalised_and_a_clear_signal_is_not() -> None:
    rng = np.random.default_rng(1)
    vectors, truth = sample(200, 20, 0.1)
    clear, noisy = (
        fit_dense_ridge(vectors, np.arange(200), truth),
        fit_dense_ridge(vectors, np.arange(200), rng.normal(size=200)),
    )
    assert clear.alpha < 1 < 100 < noisy.alpha


def test_memory_goes_into_blocks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, truth = sample(100, 8, 1.0)
    rows = np.arange(3, 97)
    whole = fit_dense_ridge(vectors, rows, truth[rows])
    monkeypatch.setattr(linear_models, "VECTORS_AT_ONCE", 7)
    parts = fit_dense_ridge(vectors, rows, truth[rows])
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-9)
    assert parts.alpha == whole.alpha


def test_a_dimension_that_does_not_vary_weighs_nothing() -> None:
    vectors, truth = sample(50, 6, 1.0)
    vectors[:, 2] = 1.7
    assert scale_of(vectors, np.arange(50)).factor[2] == 0
    assert fit_dense_ridge(vectors, np.arange(50), truth).weights[2] == 0
