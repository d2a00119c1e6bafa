"""The optimiser does to matrices what Muon does, and to the rest what AdamW does."""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from biofm.training.muon import BETAS, EPSILON, MOMENTUM, UPDATE_RMS, Muon, orthogonalise

# Five steps with these coefficients bring singular values near 1, not to it (Jordan et al. 2024).
SINGULAR_VALUES = (0.65, 1.25)


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 48)], ids=str)
def test_orthogonalising_keeps_singular_vectors_and_evens_singular_values(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape)
    for matrix, result in zip(matrices, orthogonalise(matrices), strict=True):
        u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
        in_its_basis = u.mT @ result @ vt.mT
        values = in_its_basis.diagonal()
        assert values.min() > SINGULAR_VALUES[0]
        assert values.max() < SINGULAR_VALUES[1]
        torch.testing.assert_close(in_its_basis, values.diag(), atol=1e-4, rtol=0)


def test_orthogonalising_together_is_orthogonalising_alone() -> None:
    matrices = torch.randn(4, 8, 12) * torch.tensor([1e-3, 1.0, 10.0, 1e3])[:, None, None]
    alone = torch.cat([orthogonalise(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalise(matrices), alone)


def test_a_zero_matrix_stays_zero() -> None:
    assert orthogonalise(torch.zeros(1, 4, 6)).count_nonzero() == 0


def move(
    weight: Tensor, gradients: list[Tensor], optimizer_of: Callable[..., Optimizer], **options: object
) -> Tensor:
    """How far the gradients, a step each, move a matrix."""
    parameter = nn.Parameter(weight.clone())
    groups = ([parameter], []) if optimizer_of is Muon else ([parameter],)
    optimizer = optimizer_of(*groups, lr=0.02, weight_decay=0.1, **options)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach() - weight


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
@pytest.mark.parametrize("shape", [(24, 24), (40, 16), (16, 40)], ids=str)
@pytest.mark.parametrize("n_steps", [1, 4])
def test_steps_are_those_of_torch_up_to_bfloat16(n_steps: int, shape: tuple[int, int]) -> None:
    weight, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(n_steps)]
    ours = move(weight, gradients, Muon)
    theirs = move(weight, gradients, torch.optim.Muon, adjust_lr_fn="match_rms_adamw", momentum=MOMENTUM)
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999
    assert ours.norm() / theirs.norm() == pytest.approx(1, rel=0.02)


def test_an_update_has_the_size_of_an_adamw_one() -> None:
    moved = move(torch.zeros(64, 64), [torch.randn(64, 64)], Muon)
    assert moved.square().mean().sqrt() == pytest.approx(0.02 * UPDATE_RMS, rel=0.25)


def test_the_rest_is_stepped_as_adamw_without_decay_does() -> None:
    ours, theirs = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.empty(5, 3))
    theirs.data.copy_(ours.data)
    optimizers = (
        Muon([], [ours], lr=0.01, weight_decay=0.1),
        torch.optim.AdamW([theirs], lr=0.01, betas=BETAS, eps=EPSILON, weight_decay=0.0),
    )
    for _ in range(5):
        gradient = torch.randn(5, 3)
        for weight, optimizer in zip((ours, theirs), optimizers, strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


def quadratic(matrix: Tensor, vector: Tensor, goals: tuple[Tensor, Tensor]) -> Tensor:
    return (matrix - goals[0]).square().sum() + (vector - goals[1]).square().sum()


def test_every_step_downhill_reduces_a_quadratic() -> None:
    matrix, vector = nn.Parameter(torch.zeros(12, 8)), nn.Parameter(torch.zeros(8))
    goals = torch.randn(12, 8), torch.randn(8)
    optimizer = Muon([matrix], [vector], lr=0.01, weight_decay=0.0)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = quadratic(matrix, vector, goals)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        optimizer.step()
    assert all(after < before for before, after in pairwise(losses))


def test_weights_without_a_gradient_stay_and_decay_is_for_matrices_alone() -> None:
    frozen, matrix, vector = (nn.Parameter(torch.ones(shape)) for shape in ((3, 3), (3, 3), (3,)))
    optimizer = Muon([frozen, matrix], [vector], lr=0.1, weight_decay=0.5)
    matrix.grad, vector.grad = torch.zeros(3, 3), torch.zeros(3)
    optimizer.step()
    assert torch.equal(frozen, torch.ones(3, 3))
    torch.testing.assert_close(matrix.detach(), torch.full((3, 3), 1 - 0.1 * 0.5))
    assert torch.equal(vector, torch.ones(3))


def test_a_restored_optimiser_goes_on_to_the_bit() -> None:
    weights = [nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(4))]
    optimizer = Muon(weights[:1], weights[1:], lr=0.01, weight_decay=0.1)
    gradients = [[torch.randn(6, 4), torch.randn(4)] for _ in range(4)]

    def go(optimizer: Muon, weights: list[nn.Parameter], gradients: list[list[Tensor]]) -> None:
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            optimizer.step()

    go(optimizer, weights, gradients[:2])
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    restored = Muon(copies[:1], copies[1:], lr=0.5, weight_decay=0.5)
    restored.load_state_dict(deepcopy(optimizer.state_dict()))
    go(optimizer, weights, gradients[2:])
    go(restored, copies, gradients[2:])
    assert all(torch.equal(weight, copy) for weight, copy in zip(weights, copies, strict=True))
