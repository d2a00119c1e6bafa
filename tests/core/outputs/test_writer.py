"""Writers of every format check suffixes, accept no rows, keep memory flat and do not crash at a fault."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import anndata
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from biofm.core import OutputError
from biofm.core.outputs import SUFFIXES, EmbeddingBlock, check_suffix, open_writer, provenance_path

RunPython = Callable[..., CompletedProcess[str]]
WriteOutput = Callable[..., Path]

GROW = """
import sys
import numpy as np
from pathlib import Path
from biofm.core.memory import peak_resident_bytes
from biofm.core.outputs import EmbeddingBlock, open_writer

folder, suffix = Path(sys.argv[1]), sys.argv[2]
values = np.random.default_rng(0).standard_normal((500, 256), dtype=np.float32)
with (folder / "out").open("w+b") as handle, (folder / "provenance").open("wb") as beside:
    writer = open_writer(handle, suffix, per_residue=False, scratch_folder=folder, provenance_file=beside)
    for number in range(500):
        if number == 300:  # By then a row group of Parquet, the largest part that is collected, was written.
            early_bytes = peak_resident_bytes()
        ids = [f"protein-{number}-{row}" for row in range(500)]
        writer.append(EmbeddingBlock(ids=ids, records=[1] * 500, n_residues=[1] * 500, values=values))
    writer.close({})
print(peak_resident_bytes() - early_bytes)
"""
FILL_THE_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from biofm.core.errors import OutputError
from biofm.core.outputs import EmbeddingBlock, open_writer

folder, suffix = Path(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
block = EmbeddingBlock(["P"] * 1000, [1] * 1000, [1] * 1000, np.ones((1000, 1000), np.float32))
with (folder / "out").open("w+b") as handle, (folder / "provenance").open("wb") as beside:
    writer = open_writer(handle, suffix, per_residue=False, scratch_folder=folder, provenance_file=beside)
    try:
        for _ in range(10):
            writer.append(block)
        writer.close({})
    except (OSError, OutputError) as error:
        print(type(error).__name__, error)
"""
FORGET_THE_STORE = """
import sys
import numpy as np
from pathlib import Path
from biofm.core.outputs import EmbeddingBlock, open_writer

folder, suffix = Path(sys.argv[1]), sys.argv[2]
values = np.ones((10_000, 1000), np.float32)
block = EmbeddingBlock(["P"] * 10_000, [1] * 10_000, [1] * 10_000, values)
with (folder / "out").open("w+b") as handle, (folder / "provenance").open("wb") as beside:
    writer = open_writer(handle, suffix, per_residue=False, scratch_folder=folder, provenance_file=beside)
    writer.append(block)
"""


@pytest.mark.parametrize("name", ["out.h5ad", "out.PARQUET", "a.b.npz", "out.safetensors", "/x/out.Csv"])
def test_a_known_suffix_is_accepted_in_any_case(name: str) -> None:
    assert check_suffix(Path(name)) == Path(name).suffix.lower()


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("out.txt", ".txt is not a format for embeddings"),
        ("out.csv.gz", ".gz is not a format for embeddings"),
        ("out", "the name has no suffix"),
        ("-", "embeddings cannot be written to standard output"),
    ],
)
def test_an_unknown_suffix_names_the_known_ones(name: str, what: str) -> None:
    with pytest.raises(OutputError) as caught:
        check_suffix(Path(name))

    assert str(caught.value) == (
        f"{name}: {what}. Give a file name that ends in .h5ad, .parquet, .npz, .safetensors or .csv"
    )


def test_a_writer_of_an_unknown_suffix_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as handle, pytest.raises(OutputError, match=r"\.txt is not a format"):
        open_writer(handle, ".txt", per_residue=False, scratch_folder=None)


@pytest.mark.parametrize("suffix", [".h5ad", ".parquet", ".npz", ".safetensors"])
def test_only_csv_needs_a_file_for_its_provenance(suffix: str) -> None:
    assert provenance_path(Path(f"out{suffix}")) is None


def test_a_csv_writer_without_a_file_for_its_provenance_is_a_programmers_fault(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w+b") as handle, pytest.raises(AssertionError, match="provenance_path"):
        open_writer(handle, ".csv", per_residue=False, scratch_folder=None)


@pytest.mark.parametrize("per_residue", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_without_rows_can_be_closed_and_read(
    suffix: str, per_residue: bool, write_output: WriteOutput
) -> None:
    path = write_output(suffix, [], per_residue=per_residue)

    match suffix:
        case ".h5ad":
            assert anndata.read_h5ad(path).shape == (0, 0)
            anndata.read_h5ad(path, backed="r").file.close()
        case ".parquet":
            assert pd.read_parquet(path).shape == (0, 4 if per_residue else 3)
        case ".npz":
            with np.load(path, allow_pickle=False) as file:
                assert (file["embeddings"].shape, file["ids"].shape) == ((0, 0), (0,))
        case ".safetensors":
            assert safetensors.numpy.load_file(path)["embeddings"].shape == (0, 0)
        case ".csv":
            assert pd.read_csv(path).shape == (0, 3 if per_residue else 2)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_block_of_the_wrong_kind_is_a_programmers_fault(
    suffix: str, residue_blocks: list[EmbeddingBlock], write_output: WriteOutput
) -> None:
    with pytest.raises(AssertionError):
        write_output(suffix, residue_blocks, per_residue=False)


@pytest.mark.parametrize(
    "suffix",
    [pytest.param(it, marks=pytest.mark.slow) if it == ".csv" else it for it in SUFFIXES],
)
def test_memory_does_not_grow_with_the_rows(suffix: str, tmp_path: Path, run_python: RunPython) -> None:
    """Check this while 102 MB are written, between row 150,000 and row 250,000."""
    done = run_python(GROW, tmp_path, suffix)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40e6


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_temporary_files_leave_nothing_behind(
    suffix: str, tmp_path: Path, protein_blocks: list[EmbeddingBlock], write_output: WriteOutput
) -> None:
    path = write_output(suffix, protein_blocks)

    others = {file.name for file in tmp_path.iterdir()} - {path.name, "unused", "out.csv.provenance.json"}
    assert others == set()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_raises_and_does_not_crash_the_process(
    suffix: str, tmp_path: Path, run_python: RunPython
) -> None:
    done = run_python(FILL_THE_DISK, tmp_path, suffix)

    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_that_is_forgotten_says_nothing_and_does_not_crash(
    suffix: str, tmp_path: Path, run_python: RunPython
) -> None:
    done = run_python(FORGET_THE_STORE, tmp_path, suffix)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_scratch_folder_that_is_missing_is_an_output_error(tmp_path: Path) -> None:
    folder = tmp_path / "missing"

    with (tmp_path / "out").open("w+b") as handle, pytest.raises(OutputError) as caught:
        open_writer(handle, ".npz", per_residue=False, scratch_folder=folder)

    assert str(caught.value) == (
        f"{folder}: no temporary file can be written there (No such file or directory). "
        "Free some space there: temporary files take as much as the output"
    )
