"""Attention as an operation of torch: autograd, compile, export, checkpointing, counting of arithmetic."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from biofm_kernels import QKNorm, Rotary, attention
from biofm_kernels.flops import FlopCounterMode
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

LENGTHS = [3, 0, 4, 4, 1]
N_HEADS, HEAD_DIM = 2, 4
CU_SEQLENS = torch.tensor([0, *LENGTHS]).cumsum(0).to(torch.int32)
N_TOKENS = sum(LENGTHS)

Inputs = tuple[Tensor, ...]

pytestmark = pytest.mark.usefixtures("_unchecked_shapes")


def make_rotary() -> Rotary:
    positions = torch.cat([torch.arange(n) for n in LENGTHS])
    angles = torch.arange(4)[:, None] * torch.tensor([1.0, 0.01])
    return Rotary(angles.cos(), angles.sin(), positions, positions)


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention(q, k, v, CU_SEQLENS, 4)


def windowed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention(q, k, v, CU_SEQLENS, 4, window=(1, 1), scale=0.3)


def rotated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention(q, k, v, CU_SEQLENS, 4, rotary=make_rotary())


def normed(q: Tensor, k: Tensor, v: Tensor, *parameters: Tensor) -> Tensor:
    return attention(q, k, v, CU_SEQLENS, 4, norm=QKNorm("layer", 1e-5, *parameters), rotary=make_rotary())


def some_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    cu_queries = torch.tensor([0, 2, 2, 3, 3, 4], dtype=torch.int32)
    return attention(q[:4], k, v, CU_SEQLENS, 4, cu_queries)


CALLS = {
    "plain": plain,
    "windowed": windowed,
    "rotated": rotated,
    "normed": normed,
    "some queries": some_queries,
}


@pytest.fixture(params=list(CALLS.values()), ids=list(CALLS))
def call(request: pytest.FixtureRequest) -> Callable[..., Tensor]:
    return request.param


def make_inputs(call: Callable[..., Tensor], dtype: torch.dtype = torch.float64) -> Inputs:
    heads = [torch.randn(N_TOKENS, N_HEADS, HEAD_DIM, dtype=dtype) for _ in range(3)]
    parameters = [1 + torch.randn(N_HEADS * HEAD_DIM, dtype=dtype) / 4 for _ in range(4)]
    return tuple(x.requires_grad_() for x in (*heads, *(parameters if call is normed else ())))


def test_gradients_are_those_of_finite_differences(call: Callable[..., Tensor]) -> None:
    assert torch.autograd.gradcheck(call, make_inputs(call))


def test_torch_finds_no_fault_in_the_operations(call: Callable[..., Tensor]) -> None:
    """Schema, aliasing, fake results, autograd, symbolic shapes, for the arguments that arise."""
    seen: list[tuple[Any, tuple[Any, ...]]] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if operation.namespace == "biofm":
                seen.append((operation, args))
            return operation(*args, **(kwargs or {}))

    with Watch():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        call(*make_inputs(call)).sum().backward()
    names = [operation._opname for operation, _ in seen]
    assert names == ["attention", "attention_backward"]
    for operation, arguments in seen:
        if operation._opname == "attention_backward":  # first derivatives only
            arguments = torch.utils._pytree.tree_map_only(Tensor, Tensor.detach, arguments)
        torch.library.opcheck(operation, arguments)


def test_it_compiles_whole_with_symbolic_shapes(call: Callable[..., Tensor]) -> None:
    inputs = make_inputs(call, torch.float32)
    compiled = torch.compile(call, fullgraph=True, dynamic=True, backend="aot_eager")
    expected, found = call(*inputs), compiled(*inputs)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, gradient),
        torch.autograd.grad(expected, inputs, gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_one_compilation_serves_other_numbers_of_tokens_and_sequences() -> None:
    n_compilations = 0

    def count(graph: Any, _: Any) -> Any:
        nonlocal n_compilations
        n_compilations += 1
        return graph

    compiled: Any = torch.compile(attention, fullgraph=True, dynamic=True, backend=count)
    for lengths in ([5, 7], [3, 9, 2], [20, 4, 4, 6]):
        q = torch.randn(sum(lengths), N_HEADS, HEAD_DIM)
        cu_seqlens = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
        expected = attention(q, q, q, cu_seqlens, max(lengths))
        assert torch.equal(compiled(q, q, q, cu_seqlens, max(lengths)), expected)
    assert n_compilations == 1


def test_it_exports_with_dynamic_tokens_and_sequences() -> None:
    class Attend(torch.nn.Module):
        def forward(self, q: Tensor, cu_seqlens: Tensor) -> Tensor:
            return attention(q, q, q, cu_seqlens, 32)

    tokens, bounds = torch.export.Dim("tokens"), torch.export.Dim("bounds")
    example = (torch.randn(N_TOKENS, N_HEADS, HEAD_DIM), CU_SEQLENS)
    exported = torch.export.export(
        Attend(), example, dynamic_shapes=({0: tokens}, {0: bounds}), strict=False
    ).module()
    q, cu_seqlens = torch.randn(11, N_HEADS, HEAD_DIM), torch.tensor([0, 4, 11], dtype=torch.int32)
    torch.testing.assert_close(exported(q, cu_seqlens), attention(q, q, q, cu_seqlens, 32))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(call: Callable[..., Tensor], use_reentrant: bool) -> None:
    inputs = make_inputs(call)
    expected = torch.autograd.grad(call(*inputs).sum(), inputs)
    checkpoint(call, *inputs, use_reentrant=use_reentrant).sum().backward()
    for x, gradient in zip(inputs, expected, strict=True):
        assert x.grad is not None
        torch.testing.assert_close(x.grad, gradient)


def test_shapes_are_known_without_a_gpu_and_without_numbers() -> None:
    with FakeTensorMode():
        q = torch.empty(100, N_HEADS, 64, dtype=torch.bfloat16, device="cuda")
        out = attention(q, q, q, torch.empty(4, dtype=torch.int32, device="cuda"), 40)
    assert (out.shape, out.dtype, out.device.type) == (q.shape, torch.bfloat16, "cuda")


def test_its_arithmetic_is_counted_within_sequences() -> None:
    inputs = make_inputs(plain)
    with FlopCounterMode(display=False) as counter:
        plain(*inputs).sum().backward()
    pairs = sum(n * n for n in LENGTHS)
    assert counter.get_total_flops() == (4 + 10) * pairs * N_HEADS * HEAD_DIM


def test_the_arithmetic_of_a_window_is_what_it_sees_at_the_most() -> None:
    with FlopCounterMode(display=False) as counter:
        windowed(*make_inputs(windowed))
    assert counter.get_total_flops() == 4 * sum(n * min(n, 3) for n in LENGTHS) * N_HEADS * HEAD_DIM


def test_the_compiler_is_not_imported_where_nothing_is_compiled(python_run: Callable[..., Any]) -> None:
    program = """
import sys, torch, biofm_kernels
x = torch.ones(4, 2, 8, requires_grad=True)
biofm_kernels.attention(x, x, x, torch.tensor([0, 4], dtype=torch.int32), 4).sum().backward()
print("torch._dynamo" in sys.modules, "triton" in sys.modules)
"""
    assert python_run("-c", program).stdout.split() == ["False", "False"]


def test_second_derivatives_are_refused_not_wrong(call: Callable[..., Tensor]) -> None:
    inputs = make_inputs(call)
    gradients = torch.autograd.grad(call(*inputs).square().sum(), inputs, create_graph=True)
    with pytest.raises(NotImplementedError, match="biofm::attention_backward has no derivative"):
        torch.autograd.grad(gradients[0].square().sum(), inputs)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda it: it._replace(cos=it.cos.repeat(1, 2), sin=it.sin.repeat(1, 2)), "a pair of columns"),
        (lambda it: it._replace(q_positions=it.q_positions[:-1]), "each row of q needs a position"),
        (lambda it: it._replace(cos=it.cos.bfloat16(), sin=it.sin.bfloat16()), "rounded angles"),
    ],
    ids=["width", "positions", "dtype"],
)
def test_what_a_kernel_would_read_wrongly_is_refused(change: Callable[[Rotary], Rotary], fault: str) -> None:
    q, k, v = make_inputs(rotated)
    with pytest.raises(AssertionError, match=fault):
        attention(q, k, v, CU_SEQLENS, 4, rotary=change(make_rotary()))
