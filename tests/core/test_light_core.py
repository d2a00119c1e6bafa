"""The import of the core, with the writers of outputs, loads none of the libraries that they write with."""

from collections.abc import Callable
from subprocess import CompletedProcess

LOADED = (
    "import sys, biofm.core, biofm.core.outputs; print(*{name.partition('.')[0] for name in sys.modules})"
)
HEAVY = {"anndata", "h5py", "pandas", "pyarrow", "rich", "safetensors", "scipy", "torch"}

RunPython = Callable[..., CompletedProcess[str]]


def test_importing_core_loads_nothing_heavier_than_numpy(run_python: RunPython) -> None:
    done = run_python(LOADED)

    assert HEAVY & set(done.stdout.split()) == set()
    assert "numpy" in done.stdout.split(), done.stderr
