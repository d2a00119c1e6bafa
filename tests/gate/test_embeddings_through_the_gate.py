"""Embeddings are written through a permit: a fault leaves no file and does not crash the process."""

from pathlib import Path

import pytest

from biofm.core.outputs import SUFFIXES
from tests.conftest import StartProcess

EMBED = """
import resource, sys
import numpy as np
from pathlib import Path
from biofm.api.request import request_of
from biofm.core.errors import OutputError
from biofm.core.outputs import EmbeddingBlock, open_writer, provenance_path
from biofm.gate import ask
from biofm.policy import Target

path, fault = Path(sys.argv[1]), sys.argv[2]
writes = {"output": Target(path=path)}
beside = provenance_path(path)
if beside:
    writes["provenance"] = Target(path=beside)
request = request_of("embed", writes=writes)
block = EmbeddingBlock(["P"] * 1000, [1] * 1000, [1] * 1000, np.ones((1000, 1000), np.float32))

def embed():
    with ask(request) as permit:
        writer = open_writer(
            permit.writer("output"),
            path.suffix,
            per_residue=False,
            scratch_folder=None,
            provenance_file=permit.writer("provenance") if beside else None,
        )
        for _ in range(10):
            writer.append(block)
            if fault == "model":
                raise RuntimeError("the model failed")
        writer.close({"model": "protein-nano"})

if fault == "disk":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    try:
        embed()
    except OutputError as error:
        print(error)
else:
    embed()
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_finished_run_leaves_its_files_and_nothing_else(
    suffix: str, tmp_path: Path, start_python: StartProcess
) -> None:
    assert start_python(EMBED, tmp_path / f"out{suffix}", "none").wait() == 0

    expected = {f"out{suffix}"} | ({"out.csv.provenance.json"} if suffix == ".csv" else set())
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_output_error_and_the_process_lives(
    suffix: str, tmp_path: Path, start_python: StartProcess
) -> None:
    process = start_python(EMBED, tmp_path / f"out{suffix}", "disk")

    message, _ = process.communicate()

    assert process.returncode == 0
    assert "(File too large). Free some space there" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_fault_elsewhere_ends_the_process_as_any_other(
    suffix: str, tmp_path: Path, start_python: StartProcess
) -> None:
    process = start_python(EMBED, tmp_path / f"out{suffix}", "model")

    assert process.wait() == 1
    assert list(tmp_path.iterdir()) == []
