"""The fixtures write files of embeddings as anndata does."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

IDS = ["a", "b", "c", "d", "e"]
VALUES = np.random.default_rng(20).standard_normal((5, 8), dtype=np.float32)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes VALUES, or other rows, and further elements to ``in.h5ad``."""

    def to_file(values: object = VALUES, index: object = None, **compression: object) -> Path:
        obs = pd.DataFrame(index=pd.Index(IDS) if index is None else index)
        anndata.AnnData(values, obs=obs).write_h5ad(tmp_path / "in.h5ad", **compression)
        return tmp_path / "in.h5ad"

    return to_file
