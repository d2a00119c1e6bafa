"""Norm and rotation of q and k: the reference against loops in float64, the operation as torch sees it."""

from collections.abc import Callable

import pytest
import torch
from biofm_kernels import Rotary, backend
from biofm_kernels.qk_norm_rope import Norm, QKNorm, parts_of, qk_norm_rope, reference
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, relative_error

N_POSITIONS = 40
NORMS = ["layer with bias", "layer", "rms with bias", "rms", "none"]
ROTATES = pytest.mark.parametrize("rotates", [True, False], ids=["rotary", "no rotary"])


def make_norm(name: str, d_model: int, dtype: torch.dtype = torch.float64) -> QKNorm | None:
    if name == "none":
        return None
    kind, _, bias = name.partition(" with ")
    parameters = torch.randn(4 if bias else 2, d_model, dtype=torch.float64).to(dtype)
    return QKNorm.of(kind, 1e-2, list(parameters))


def make_rotary(n_queries: int, n_tokens: int, head_dim: int, dtype: torch.dtype = torch.float64) -> Rotary:
    angles = torch.randn(N_POSITIONS, head_dim // 2, dtype=torch.float64)
    q_positions, k_positions = (torch.randint(N_POSITIONS, (n,)) for n in (n_queries, n_tokens))
    return Rotary(angles.cos().to(dtype), angles.sin().to(dtype), q_positions, k_positions)


def make_heads(
    n_queries: int,
    n_tokens: int,
    heads: int = 3,
    head_dim: int = 10,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> tuple[Tensor, Tensor]:
    """q and k, views of one projection; fewer queries than tokens are its first rows."""
    projected = torch.randn(n_tokens, 3 * heads * head_dim, dtype=torch.float64).to(device, dtype)
    q, k, _ = (x.unflatten(-1, (heads, head_dim)) for x in projected.chunk(3, -1))
    return q[:n_queries], k


def one_row(x: Tensor, norm: Norm) -> Tensor:
    """The norm of one token, (heads, head_dim), number by number."""
    numbers = x.flatten().tolist()
    mean = sum(numbers) / len(numbers) if norm.kind == "layer" else 0.0
    scale = (sum((number - mean) ** 2 for number in numbers) / len(numbers) + norm.eps) ** -0.5
    shifts = [0.0] * len(numbers) if norm.bias is None else norm.bias.tolist()
    triples = zip(numbers, norm.weight.tolist(), shifts, strict=True)
    return torch.tensor([(n - mean) * scale * w + b for n, w, b in triples], dtype=x.dtype).view(x.shape)


def one_turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair of a half and its partner as a complex number, turned by its angle."""
    first, second = x.chunk(2, -1)
    turned = torch.complex(first, second) * torch.complex(cos, sin)
    return torch.cat([turned.real, turned.imag], -1)


def by_hand(x: Tensor, norm: Norm | None, rotary: Rotary | None, positions: Tensor | None) -> Tensor:
    rows = []
    for number, row in enumerate(x):
        y = row if norm is None else one_row(row, norm)
        if rotary is not None and positions is not None:
            y = one_turn(y, rotary.cos[positions[number]], rotary.sin[positions[number]])
        rows.append(y)
    return torch.stack(rows)


@ROTATES
@pytest.mark.parametrize("name", NORMS)
def test_the_reference_is_the_norm_and_the_rotation_of_each_row(name: str, rotates: bool) -> None:
    q, k = make_heads(5, 9)
    norm, rotary = make_norm(name, 30), make_rotary(5, 9, 10) if rotates else None
    q_out, k_out, _, _ = reference.forward(q, k, norm, rotary)
    q_norm, k_norm = (None, None) if norm is None else (norm.of_q, norm.of_k)
    q_rows, k_rows = (None, None) if rotary is None else (rotary.q_positions, rotary.k_positions)
    torch.testing.assert_close(q_out, by_hand(q, q_norm, rotary, q_rows), rtol=0, atol=1e-12)
    torch.testing.assert_close(k_out, by_hand(k, k_norm, rotary, k_rows), rtol=0, atol=1e-12)


@ROTATES
@pytest.mark.parametrize("name", NORMS)
def test_gradients_are_those_of_finite_differences(name: str, rotates: bool) -> None:
    q, k = make_heads(2, 3, heads=2, head_dim=4)
    norm, rotary = make_norm(name, 8), make_rotary(2, 3, 4) if rotates else None
    run, inputs = as_function_of_tensors(norm, rotary)
    inputs = [x.clone().requires_grad_() for x in (q, k, *inputs)]
    assert torch.autograd.gradcheck(run, inputs)


def as_function_of_tensors(
    norm: QKNorm | None, rotary: Rotary | None
) -> tuple[Callable[..., tuple[Tensor, Tensor]], list[Tensor]]:
    """The operation as a function of q, k and the parameters, and these parameters."""
    kind, eps, parameters = parts_of(norm)

    def run(q: Tensor, k: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        return qk_norm_rope(q, k, QKNorm.of(kind, eps, parameters), rotary)

    return run, parameters


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("name", NORMS)
def test_every_dtype_agrees_with_float64(name: str, dtype: torch.dtype, device: str) -> None:
    q, k = make_heads(63, 111, heads=20, head_dim=24, dtype=dtype, device=device)
    norm, rotary = make_norm(name, 480, torch.float32), make_rotary(63, 111, 24, torch.float32)
    gradients = [torch.randn(x.shape).to(dtype) for x in (q, k)]
    with backend("reference"):
        exact = both_ways(q.cpu().double(), k.cpu().double(), norm, rotary, gradients)
    found = both_ways(q, k, *moved(norm, rotary, device), gradients)
    assert [x.dtype for x in found[:4]] == [dtype] * 4
    assert {x.dtype for x in found[4:]} <= {torch.float32}, "parameters keep their dtype"
    for computed, expected in zip(found, exact, strict=True):
        assert relative_error(computed.cpu(), expected.double()) < LIMITS[dtype]


def moved(norm: QKNorm | None, rotary: Rotary, device: str) -> tuple[QKNorm | None, Rotary]:
    kind, eps, parameters = parts_of(norm)
    norm = QKNorm.of(kind, eps, [x.to(device) for x in parameters])
    return norm, Rotary(*(x.to(device) for x in rotary))


def both_ways(
    q: Tensor, k: Tensor, norm: QKNorm | None, rotary: Rotary | None, gradients: list[Tensor]
) -> list[Tensor]:
    """Both results, then the gradients of q, k and of the parameters."""
    run, parameters = as_function_of_tensors(norm, rotary)
    inputs = [x.detach().requires_grad_() for x in (q, k, *parameters)]
    outputs = run(*inputs)
    of_outputs = [x.to(q) for x in gradients]
    return [*(x.detach() for x in outputs), *torch.autograd.grad(outputs, inputs, of_outputs)]


@pytest.mark.parametrize(("n_queries", "n_tokens"), [(0, 0), (0, 3), (1, 1)])
@pytest.mark.parametrize("name", NORMS)
def test_no_row_and_one_row_will_do(name: str, n_queries: int, n_tokens: int, device: str) -> None:
    q, k = make_heads(n_queries, n_tokens, dtype=torch.float32, device=device)
    rotary = make_rotary(n_queries, n_tokens, 10, torch.float32)
    results = both_ways(q, k, *moved(make_norm(name, 30, torch.float32), rotary, device), [q, k])
    assert [x.shape for x in results[:4]] == [q.shape, k.shape, q.shape, k.shape]
    assert not any(x.isnan().any() for x in results)


@ROTATES
@pytest.mark.parametrize("name", ["layer", "none"])
def test_results_are_contiguous_and_share_no_memory_with_the_inputs(name: str, rotates: bool) -> None:
    for q, k in (make_heads(4, 4), tuple(x.contiguous() for x in make_heads(4, 4))):
        results = qk_norm_rope(q, k, make_norm(name, 30), make_rotary(4, 4, 10) if rotates else None)
        for result, x in zip(results, (q, k), strict=True):
            assert result.is_contiguous()
            assert result.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


def test_without_a_norm_nothing_of_q_and_k_is_kept_for_the_backward_pass() -> None:
    q, k = (x.requires_grad_() for x in make_heads(4, 4))
    kept: list[torch.Size] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.shape)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        qk_norm_rope(q, k, None, make_rotary(4, 4, 10))
    assert kept, "the angles are"
    assert q.shape not in kept


@ROTATES
@pytest.mark.parametrize("name", NORMS)
def test_torch_finds_the_operation_well_registered(name: str, rotates: bool) -> None:
    q, k = (x.detach().requires_grad_() for x in make_heads(3, 4, dtype=torch.float32))
    norm = make_norm(name, 30, torch.float32)
    kind, eps, parameters = parts_of(norm)
    parameters = [x.requires_grad_() for x in parameters]
    rotary = list(make_rotary(3, 4, 10, torch.float32)) if rotates else []
    torch.library.opcheck(torch.ops.biofm.qk_norm_rope.default, (q, k, kind, eps, parameters, rotary))


@pytest.mark.usefixtures("_unchecked_shapes")
@pytest.mark.parametrize("name", ["layer with bias", "rms", "none"])
def test_compiled_for_any_number_of_rows_it_gives_the_same(name: str) -> None:
    run, parameters = as_function_of_tensors(make_norm(name, 30), None)
    compiled = torch.compile(run, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_queries, n_tokens in ((3, 5), (7, 11)):
        inputs = [x.detach().requires_grad_() for x in (*make_heads(n_queries, n_tokens), *parameters)]
        plain, found = run(*inputs), compiled(*inputs)
        torch.testing.assert_close(found, plain, rtol=0, atol=0)
        gradients = [torch.randn_like(x) for x in plain]
        expected = torch.autograd.grad(plain, inputs, gradients)
        torch.testing.assert_close(torch.autograd.grad(found, inputs, gradients), expected, rtol=0, atol=0)


@pytest.mark.usefixtures("_unchecked_shapes")
def test_an_exported_model_holds_the_operation_for_any_number_of_rows() -> None:
    class Model(torch.nn.Module):
        def forward(self, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, positions: Tensor) -> Tensor:
            q, k = qk_norm_rope(q, k, None, Rotary(cos, sin, positions, positions))
            return q + k

    q, k = make_heads(4, 4)
    rotary = make_rotary(4, 4, 10)
    rows = torch.export.Dim("rows")
    shapes = [{0: rows}, {0: rows}, None, None, {0: rows}]
    exported = torch.export.export(Model(), (q, k, *rotary[:3]), dynamic_shapes=shapes)
    assert "biofm.qk_norm_rope" in exported.graph_module.code

    q, k = make_heads(9, 9)
    rotary = make_rotary(9, 9, 10)
    expected = Model()(q, k, *rotary[:3])
    torch.testing.assert_close(exported.module()(q, k, *rotary[:3]), expected, rtol=0, atol=0)
