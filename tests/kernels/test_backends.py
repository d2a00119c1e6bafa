"""Which implementation runs: chosen for the device, by hand, or because a kernel cannot be built."""

import subprocess
import threading
from collections.abc import Callable

import pytest
import torch
from biofm_kernels import KernelWarning, attention, backend, backends, explain, qk_norm_rope
from biofm_kernels.attention import dispatch, grouped

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda", "mps"))
CU_SEQLENS = torch.tensor([0, 3, 5], dtype=torch.int32)


@pytest.fixture
def capability(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Makes torch say that its CUDA GPU is of this compute capability."""

    def set_capability(major: int, minor: int) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (major, minor))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "a GPU nobody has seen")

    return set_capability


@pytest.fixture(autouse=True)
def _no_kernel_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends._State, "failed", frozenset())


@pytest.mark.parametrize(
    ("device", "compute", "dtype", "head_dim", "name"),
    [
        (CPU, None, torch.float32, 24, "grouped"),
        (CPU, None, torch.float64, 24, "grouped"),
        (CPU, None, torch.bfloat16, 64, "grouped"),
        (MPS, None, torch.float16, 64, "reference"),
        (CUDA, (9, 0), torch.float32, 64, "triton"),
        (CUDA, (9, 0), torch.bfloat16, 24, "triton"),
        (CUDA, (8, 0), torch.float16, 128, "triton"),
        (CUDA, (12, 0), torch.bfloat16, 64, "triton"),
        (CUDA, (9, 0), torch.float64, 64, "reference"),
        (CUDA, (9, 0), torch.bfloat16, 25, "reference"),
        (CUDA, (9, 0), torch.bfloat16, 256, "varlen"),
        (CUDA, (9, 0), torch.float32, 256, "reference"),
        (CUDA, (9, 0), torch.bfloat16, 264, "reference"),
        (CUDA, (7, 5), torch.float16, 64, "reference"),
    ],
)
def test_the_backend_follows_from_device_dtype_and_head_dim(
    device: torch.device,
    compute: tuple[int, int] | None,
    dtype: torch.dtype,
    head_dim: int,
    name: str,
    capability: Callable[[int, int], None],
) -> None:
    if compute is not None:
        capability(*compute)
    choice = dispatch.choose(device, dtype, head_dim)
    assert choice.backend == name
    assert choice.reason


def test_attention_runs_the_backend_that_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(5, 1, 8)
    monkeypatch.setattr(grouped, "forward", lambda q, *_: (q * 7, q[..., 0].T))
    assert torch.equal(attention(x, x, x, CU_SEQLENS, 3), x * 7)
    with backend("reference"):
        torch.testing.assert_close(attention(x, x, x, CU_SEQLENS, 3), x)
    assert torch.equal(attention(x, x, x, CU_SEQLENS, 3), x * 7)


def test_a_choice_by_hand_ends_with_its_block_even_by_an_error() -> None:
    with pytest.raises(RuntimeError), backend("reference"):
        raise RuntimeError
    assert dispatch.choose(CPU, torch.float32, 8).backend == "grouped"


def test_a_choice_by_hand_holds_in_the_threads_of_the_backward_pass() -> None:
    found = []
    with backend("reference"):
        thread = threading.Thread(target=lambda: found.append(dispatch.choose(CPU, torch.float32, 8)))
        thread.start()
        thread.join()
    assert found[0] == ("reference", "chosen by hand")


def test_a_backend_that_an_operation_lacks_leaves_its_choice_alone() -> None:
    with backend("varlen"):
        assert backends.choose_row_kernel("segment_mean", CPU, torch.float32).backend == "reference"


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with (
        pytest.raises(ValueError, match=r"there is no backend 'cuda'; choose one of auto, triton, varlen"),
        backend("cuda"),
    ):
        pass


def launch_without_a_gpu() -> None:
    """A real failure: Triton finds nothing to build for."""
    triton = pytest.importorskip("triton")
    triton.jit(nothing)[(1,)]()


def nothing() -> None:
    pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="here the kernel can be built")
def test_where_a_kernel_cannot_be_built_the_reference_works_after_one_warning() -> None:
    sentence = r"the kernel of attention could not be built here \(RuntimeError: 0 active drivers"
    with pytest.warns(KernelWarning, match=sentence):
        assert backends.run_or_fall_back("attention", launch_without_a_gpu, lambda: "the reference")
    assert backends._State.failed == {"attention"}


def test_a_kernel_that_failed_is_not_tried_again(capability: Callable[[int, int], None]) -> None:
    capability(9, 0)
    with pytest.warns(KernelWarning):
        backends.run_or_fall_back("attention", missing_compiler, lambda: None)
    assert dispatch.choose(CUDA, torch.bfloat16, 64).backend == "varlen"
    assert backends.choose_row_kernel("qk_norm_rope", CUDA, torch.bfloat16).backend == "triton"


def missing_compiler() -> None:
    subprocess.run(["false"], check=True)


def test_faults_of_the_computation_are_not_hidden() -> None:
    def exhausted() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong() -> None:
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")

    def illegal() -> None:  # as Triton reports what the driver says
        raise RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered")

    for fault in (exhausted, wrong, illegal):
        with pytest.raises((torch.OutOfMemoryError, RuntimeError)):
            backends.run_or_fall_back("attention", fault, lambda: None)
    assert not backends._State.failed


def test_a_kernel_chosen_by_hand_is_not_replaced() -> None:
    with backend("triton"), pytest.raises(subprocess.CalledProcessError):
        backends.run_or_fall_back("attention", missing_compiler, lambda: None)


def test_row_operations_run_the_reference_off_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from biofm_kernels.qk_norm_rope import reference as rows

    x = torch.ones(5, 1, 8)
    monkeypatch.setattr(
        rows, "forward", lambda q, k, *_: (q * 7, k * 5, torch.empty(0, 2), torch.empty(0, 2))
    )
    assert torch.equal(qk_norm_rope(x, x, None, None)[0], x * 7)


def test_what_runs_is_explained_for_every_operation_dtype_and_head_dim(
    capability: Callable[[int, int], None],
) -> None:
    capability(9, 0)
    rows = explain(CUDA)
    assert {row.operation for row in rows} == {
        "attention",
        "qk_norm_rope",
        "segment_mean",
        "linear_cross_entropy",
    }
    of_bf16 = [row for row in rows if (row.operation, row.dtype) == ("attention", "bfloat16")]
    assert [(row.head_dims, row.backend, row.block_sizes) for row in of_bf16] == [
        ("16, 24, 32, 48, 64, 80, 96, 128", "triton", "sm_90"),
        ("256", "varlen", ""),
    ]
