"""The angles of rotary positions against complex numbers; their frequencies in every dtype and place."""

import pytest
import torch
from biofm_kernels import qk_norm_rope
from torch import Tensor, nn

from biofm.nn import NoRotaryAngles, RotaryAngles

D_HEAD = 24
POSITIONS = torch.tensor([0, 1, 2, 0, 5, 1023, 4000])


def turn(x: Tensor, positions: Tensor) -> Tensor:
    """x with each pair (i, i + half) as a complex number times exp(i * position * 10000^(-2i / head_dim))."""
    half = x.shape[-1] // 2
    frequencies = 10000.0 ** (-2 * torch.arange(half) / x.shape[-1])
    angles = (positions[:, None].float() * frequencies)[:, None]  # (tokens, 1, half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    return qk_norm_rope(x, x, None, RotaryAngles(D_HEAD)(positions, 4001).rotary)[0]


@pytest.fixture
def heads() -> Tensor:
    return torch.randn(len(POSITIONS), 3, D_HEAD)


def test_each_pair_turns_by_its_angle(heads: Tensor) -> None:
    # Angles up to 4,000 are known to 24 bits, that is to 2e-4, whichever way 10000^x is computed.
    torch.testing.assert_close(rotate(heads, POSITIONS), turn(heads, POSITIONS), rtol=0, atol=2e-3)
    near = POSITIONS < 10
    rotated = rotate(heads[near], POSITIONS[near])
    torch.testing.assert_close(rotated, turn(heads[near], POSITIONS[near]), rtol=0, atol=5e-6)


def test_products_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, D_HEAD)

    def product(of_q: int, of_k: int) -> Tensor:
        return (rotate(q, torch.tensor([of_q])) * rotate(k, torch.tensor([of_k]))).sum()

    torch.testing.assert_close(product(3, 10), product(103, 110), rtol=0, atol=1e-4)
    assert (product(3, 10) - product(3, 11)).abs() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_frequencies_survive_a_change_of_dtype(dtype: torch.dtype) -> None:
    rotary, linear = RotaryAngles(D_HEAD), nn.Linear(2, 2)
    before = rotary.frequencies.clone()
    nn.Sequential(rotary, linear).to(dtype)
    assert linear.weight.dtype == dtype
    assert rotary.frequencies.dtype == torch.float32
    assert torch.equal(rotary.frequencies, before)


def test_the_frequencies_follow_the_model_to_a_device() -> None:
    assert RotaryAngles(D_HEAD).to("meta").frequencies.device.type == "meta"


def test_a_checkpoint_may_bring_frequencies_of_its_own() -> None:
    rotary = RotaryAngles(D_HEAD)
    rotary.load_state_dict({"frequencies": torch.zeros(D_HEAD // 2)})
    assert torch.equal(rotary(POSITIONS, 4001).rotary.cos, torch.ones(4001, D_HEAD // 2))


def test_no_rotation_has_no_angles() -> None:
    assert NoRotaryAngles()(POSITIONS, 4001) is None
