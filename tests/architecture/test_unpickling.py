"""A file's pickle is read where it can run nothing: no other call that unpickles stands in the program."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

# What unpickles freely, whoever calls it.
FREE = re.compile(
    r"(\w*pickle|joblib|dill|marshal|shelve)\.(load|loads|open|Unpickler)|yaml\.load"
    r"|(pd|pandas)\.read_(pickle|hdf)|(dcp|checkpoint)\.load|dcp_to_torch_save|torch\.(export|hub|jit)\.load\w*"
    r"|.*_object(_list)?|Unpickler|FileSystemReader"
)
GUARDED = {
    "biofm/training/parts.py": {"load"},  # A reader of its own stands between torch's loader and the file.
    "biofm/inference/worker.py": {"torch.export.load"},  # The kernel confines the process that imports it.
}
SAFE = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}
"""What unpickles freely unless it is told not to."""
LOADERS = {"load", "loads", "load_state_dict_from_url"}


def free_calls(source: str) -> Iterator[str]:
    """The calls of a module that read a pickle as it likes, and imports of such functions by their bare
    name.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            is_loader = re.search(
                r"pickle|joblib|dill|marshal|shelve|torch\b(?!.*safetensors)", node.module or ""
            )
            yield from (alias.name for alias in node.names if is_loader and alias.name in LOADERS)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {it.arg: ast.unparse(it.value) for it in node.keywords}
            option, value = SAFE.get(name, ("", None))
            if given.get(option) != value or FREE.fullmatch(name) or given.get("allow_pickle") == "True":
                yield name


def test_no_call_unpickles_freely(root: Path) -> None:
    found = {}
    for folder in ("biofm", "datasets/biofm_datasets", "kernels/biofm_kernels"):
        for path in (root / folder).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if calls := set(free_calls(path.read_text(encoding="utf-8"))) - GUARDED.get(name, set()):
                found[name] = calls
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(word)", "cloudpickle.load(file)", "torch.load(path)", "np.load(path)",
        "torch.load(path, weights_only=False)", "from torch.distributed.checkpoint import load",
        "np.lib.format.read_array(file, allow_pickle=True)", "dist.broadcast_object_list(words)",
        "dcp.load(state, checkpoint_id=path)", "torch.export.load(path)",
        "pickle.Unpickler(file)", "yaml.load(file, Loader)",
    ],
)  # fmt: skip
def test_a_call_that_unpickles_freely_is_found(line: str) -> None:
    assert list(free_calls(line))


def test_reading_data_is_free_to_all() -> None:
    assert not list(free_calls("torch.load(path, weights_only=True); json.load(file); yaml.safe_load(file)"))
