"""The shapes that public functions state in their types are checked while the tests run, and only then."""

import ast
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from biofm_kernels import attention

Run = Callable[..., subprocess.CompletedProcess[str]]

# numpy 2.5 made ``NDArray`` an alias, which is no class, and jaxtyping states shapes of classes alone.
CLASSES_WITH_SHAPES = {"Tensor", "np.ndarray"}


def shaped_types(path: Path) -> Iterator[str]:
    """What a file states shapes of: ``Tensor`` for each ``Float[Tensor, "tokens"]``."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "jaxtyping"]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in names:
            yield ast.unparse(node.slice.elts[0] if isinstance(node.slice, ast.Tuple) else node.slice)


def test_shapes_are_stated_of_classes(tree: list[Path], root: Path) -> None:
    files = [path for path in tree if path.suffix == ".py"]
    found = {str(path.relative_to(root)): set(shaped_types(path)) for path in files}
    assert set().union(*found.values()) >= CLASSES_WITH_SHAPES
    assert {path: other for path, types in found.items() if (other := types - CLASSES_WITH_SHAPES)} == {}


def test_a_tensor_of_the_wrong_shape_is_refused_under_test() -> None:
    pytest.importorskip("beartype")
    cu_seqlens = torch.tensor([0, 3], dtype=torch.int32)
    q, k = torch.zeros(3, 2, 8), torch.zeros(3, 2, 4)
    with pytest.raises(jaxtyping.TypeCheckError, match=r"attention\.operation\.attention"):
        attention(q, k, k, cu_seqlens, 3)


def test_biofm_itself_installs_no_checks(python_run: Run) -> None:
    program = "import sys, biofm_kernels; print('beartype' in sys.modules)"
    assert python_run("-c", program).stdout.strip() == "False"
