"""Imports go one way: no module imports one that imports it, by any detour."""

import sys
from pathlib import Path

import grimp
import pytest

PACKAGES = ("biofm", "biofm_kernels", "biofm_datasets")


def circles(package: str) -> set[tuple[str, str]]:
    """The imports, among the children of a package and of all packages in it, that close a circle. Those
    inside functions and for type checkers count too.
    """
    graph = grimp.build_graph(package, cache_dir=None)
    packages = {package} | {it for it in graph.find_descendants(package) if graph.find_children(it)}
    return {one for it in packages for one in graph.nominate_cycle_breakers(it)}


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle(package: str) -> None:
    assert circles(package) == set()


def test_a_circle_is_noticed_however_deep_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "circular" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").touch()
    (inner / "a.py").write_text("from circular.inner import b\n")
    (inner / "b.py").write_text("def later():\n    import circular.inner.a\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = circles("circular")
    assert len(found) == 1
