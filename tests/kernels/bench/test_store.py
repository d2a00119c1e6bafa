"""The benchmark of the token store, rehearsed on a few sequences."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "kernels" / "bench" / "store.py"


@pytest.mark.slow
def test_the_benchmark_of_the_store_prints_its_tables(python_run: Callable[..., Any], tmp_path: Path) -> None:
    result = python_run(
        str(SCRIPT), "--sequences", "300", "900", "--accesses", "200", "--folder", str(tmp_path)
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[2:4]] == ["300", "900"]
    assert lines[-1][0] == "planning:"
    assert list(tmp_path.iterdir()) == []
