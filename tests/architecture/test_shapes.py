"""The shapes that public functions state in their types are checked while the tests run, and only then."""

import subprocess
from collections.abc import Callable

import jaxtyping
import pytest
import torch
from biofm_kernels import attention

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_tensor_of_the_wrong_shape_is_refused_under_test() -> None:
    pytest.importorskip("beartype")
    cu_seqlens = torch.tensor([0, 3], dtype=torch.int32)
    q, k = torch.zeros(3, 2, 8), torch.zeros(3, 2, 4)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"attention\.operation\.attention"):
        attention(q, k, k, cu_seqlens, 3)


def test_biofm_itself_installs_no_checks(python_run: Run) -> None:
    program = "import sys, biofm_kernels; print('beartype' in sys.modules)"
    assert python_run("-c", program).stdout.strip() == "False"
