"""The rotation against complex numbers, its gradient against autograd, its frequencies in every dtype."""

import pytest
import torch
from torch import Tensor, nn

from biofm.nn.rotary import Rotary, rotate

D_HEAD = 24
POSITIONS = torch.tensor([0, 1, 2, 0, 5, 1023, 4000])


def turn(x: Tensor, positions: Tensor) -> Tensor:
    """x with each pair (i, i + half) as a complex number times exp(i * position * 10000^(-2i / head_dim))."""
    half = x.shape[-1] // 2
    frequencies = 10000.0 ** (-2 * torch.arange(half) / x.shape[-1])
    angles = (positions[:, None].float() * frequencies)[:, None]  # (tokens, 1, half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


@pytest.fixture
def heads() -> Tensor:
    return torch.randn(len(POSITIONS), 3, D_HEAD)


def test_each_pair_turns_by_its_angle(heads: Tensor) -> None:
    # Angles up to 4,000 are known to 24 bits, that is to 2e-4, whichever way 10000^x is computed.
    torch.testing.assert_close(
        rotate(heads, Rotary(D_HEAD)(POSITIONS)), turn(heads, POSITIONS), rtol=0, atol=2e-3
    )
    near = POSITIONS < 10
    rotated = rotate(heads[near], Rotary(D_HEAD)(POSITIONS[near]))
    torch.testing.assert_close(rotated, turn(heads[near], POSITIONS[near]), rtol=0, atol=5e-6)


def test_the_gradient_is_that_of_the_plain_formula(heads: Tensor) -> None:
    cos, sin = rotation = Rotary(D_HEAD)(POSITIONS)
    weights = torch.randn_like(heads)

    def plain(x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([second, first], -1) * sin

    x = heads.clone().requires_grad_()
    (ours,) = torch.autograd.grad((rotate(x, rotation) * weights).sum(), x)
    (expected,) = torch.autograd.grad((plain(x) * weights).sum(), x)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_products_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, D_HEAD)
    rotary = Rotary(D_HEAD)

    def product(of_q: int, of_k: int) -> Tensor:
        turned_q = rotate(q, rotary(torch.tensor([of_q])))
        return (turned_q * rotate(k, rotary(torch.tensor([of_k])))).sum()

    torch.testing.assert_close(product(3, 10), product(103, 110), rtol=0, atol=1e-4)
    assert (product(3, 10) - product(3, 11)).abs() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rotated_in_float32_and_rounded_once(heads: Tensor, dtype: torch.dtype) -> None:
    rotation = Rotary(D_HEAD)(POSITIONS)
    half = heads.to(dtype)
    assert torch.equal(rotate(half, rotation), rotate(half.float(), rotation).to(dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_frequencies_survive_a_change_of_dtype(dtype: torch.dtype) -> None:
    rotary, linear = Rotary(D_HEAD), nn.Linear(2, 2)
    before = rotary.frequencies.clone()
    nn.Sequential(rotary, linear).to(dtype)
    assert linear.weight.dtype == dtype
    assert rotary.frequencies.dtype == torch.float32
    assert torch.equal(rotary.frequencies, before)


def test_the_frequencies_follow_the_model_to_a_device() -> None:
    assert Rotary(D_HEAD).to("meta").frequencies.device.type == "meta"


def test_a_checkpoint_may_bring_frequencies_of_its_own() -> None:
    rotary = Rotary(D_HEAD)
    rotary.load_state_dict({"frequencies": torch.zeros(D_HEAD // 2)})
    assert torch.equal(rotary(POSITIONS).cos, torch.ones(len(POSITIONS), 1, D_HEAD))


def test_no_rotation_leaves_the_heads_alone(heads: Tensor) -> None:
    assert rotate(heads, None) is heads
