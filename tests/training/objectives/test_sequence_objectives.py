"""Regression, classes and labels of a sequence: unknown targets do not count."""

from collections.abc import Callable
from math import exp, log, nan

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from biofm.nn import PackedBatch
from biofm.training.objectives import Example, Objective, classification, multi_label, regression

BatchOf = Callable[..., PackedBatch]
Label = Callable[..., Example]
Fixed = Callable[[Tensor], nn.Module]
Overfit = Callable[[nn.Module, Objective, Example], float]
PROTEINS = ["MKT", "ACDEF", "WY"]


def test_the_loss_of_regression_is_the_mean_square_of_what_is_known(
    batch_of: BatchOf, label: Label, fixed: Fixed
) -> None:
    objective = regression(np.array([[1.0, nan], [nan, nan], [2.0, 3.0]]))
    example = label(objective, batch_of(PROTEINS))
    assert example.rows.tolist() == [0, 2]
    outputs = torch.tensor([[1.5, 9.0], [9.0, 9.0], [2.0, 1.0]])
    # Squares 0.25, 0 and 4 of the three numbers that are known.
    assert objective.loss(fixed(outputs), example).item() == pytest.approx(4.25 / 3)


def test_targets_follow_the_members_of_the_batch(batch_of: BatchOf, label: Label) -> None:
    numbers = np.arange(10.0)[:, None]
    example = label(regression(numbers), batch_of(PROTEINS), members=[7, 2, 5])
    assert example.targets.flatten().tolist() == [7, 2, 5]
    example = label(classification(np.array([4, 3, -1, 1])), batch_of(PROTEINS), members=[3, 2, 0])
    assert (example.rows.tolist(), example.targets.tolist()) == ([0, 2], [1, 4])


def test_the_loss_of_classes_is_the_mean_surprise_of_the_known_ones(
    batch_of: BatchOf, label: Label, fixed: Fixed
) -> None:
    objective = classification(np.array([0, -1, 2]))
    example = label(objective, batch_of(PROTEINS))
    outputs = torch.tensor([[log(2), log(1), log(1)], [5.0, 0.0, 0.0], [0.0, 0.0, log(6)]])
    # Probabilities 2/4 and 6/8 of the two right classes.
    by_hand = -(log(2 / 4) + log(6 / 8)) / 2
    assert objective.loss(fixed(outputs), example).item() == pytest.approx(by_hand)


def test_the_loss_of_labels_is_the_mean_over_the_known_ones(
    batch_of: BatchOf, label: Label, fixed: Fixed
) -> None:
    objective = multi_label(np.array([[1.0, 0.0], [nan, nan], [nan, 1.0]]))
    example = label(objective, batch_of(PROTEINS))
    outputs = torch.tensor([[1.0, 2.0], [9.0, 9.0], [9.0, -1.0]])
    sigmoid = [1 / (1 + exp(-1)), 1 / (1 + exp(-2)), 1 / (1 + exp(1))]
    by_hand = -(log(sigmoid[0]) + log(1 - sigmoid[1]) + log(sigmoid[2])) / 3
    assert objective.loss(fixed(outputs), example).item() == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "objective",
    [
        regression(np.full((3, 2), nan)), multi_label(np.full((3, 2), nan)), classification(np.full(3, -1))
    ],
    ids=["regression", "multi-label", "classification"],
)  # fmt: skip
def test_a_batch_of_which_nothing_is_known_has_no_loss_and_no_gradient(
    objective: Objective, batch_of: BatchOf, label: Label, fixed: Fixed
) -> None:
    outputs = torch.randn(3, 2, requires_grad=True)
    loss = objective.loss(fixed(outputs), label(objective, batch_of(PROTEINS)))
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert loss.item() == 0
    assert not gradient.any()


@pytest.mark.parametrize("name", ["regression", "classification", "multi-label"])
def test_one_batch_is_learnt_by_heart(
    name: str,
    make_proteins: Callable[..., list[str]],
    batch_of: BatchOf,
    label: Label,
    small: Callable[..., nn.Module],
    overfit: Overfit,
) -> None:
    rng = np.random.default_rng(0)
    objective = {
        "regression": regression(rng.normal(size=(6, 2))),
        "classification": classification(rng.integers(0, 3, 6)),
        "multi-label": multi_label(rng.integers(0, 2, (6, 3)).astype(float)),
    }[name]
    n_outputs = {"regression": 2, "classification": 3, "multi-label": 3}[name]
    example = label(objective, batch_of(make_proteins(6, shortest=10, longest=20)))
    assert overfit(small(n_outputs, per_residue=False), objective, example) < 0.01
