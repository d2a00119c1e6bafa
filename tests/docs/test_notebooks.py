"""The tutorials become notebooks, and the notebooks run."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

from docs.notebooks import TUTORIALS, as_jupytext, notebook_of
from tests.docs.pages import ROOT
from tests.docs.test_examples import reader  # noqa: F401  # a fixture is used by its name

PAGES = [pytest.param(page, id=page.stem) for page in TUTORIALS]
MOST_SECONDS = 300


def test_blocks_become_cells_and_blocks_that_are_not_run_stay_text() -> None:
    page = """Text.

```console
$ biofm models
esm2-8m
```

<!-- not run: long -->
```bash
biofm train
```

```text
shown
```
"""
    cells = """Text.

```bash
biofm models
```

<!-- #region -->
```bash
biofm train
```
<!-- #endregion -->

```text
shown
```
"""
    assert as_jupytext(page) == cells


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_tutorial_runs_as_a_notebook(
    page: Path,
    reader: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roots = [ROOT, ROOT / "kernels", ROOT / "datasets"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, roots)))
    monkeypatch.setenv("PATH", f"{reader / 'bin'}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.reads(notebook_of(page), as_version=4)  # type: ignore[no-untyped-call]
    nbclient.NotebookClient(
        notebook, timeout=MOST_SECONDS, resources={"metadata": {"path": reader}}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.execution_count for cell in cells)
