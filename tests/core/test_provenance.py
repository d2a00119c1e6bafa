"""Users can check the checksums of a provenance, and an output can hold its fields."""

import hashlib
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import Provenance, __version__, sha256_of, torch_version

RunPython = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_sum_of_one_file_is_its_plain_sha256_wherever_it_was_read_to() -> None:
    file = io.BytesIO(b"weights")
    file.seek(3)

    assert sha256_of([file]) == hashlib.sha256(b"weights").hexdigest()
    assert file.tell() == 0


def test_the_sum_of_several_files_can_be_checked_with_sha256sum(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"shard {name}")
    line = "sha256sum a b | cut -d ' ' -f 1 | sha256sum"
    shell = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)

    with (tmp_path / "a").open("rb") as first, (tmp_path / "b").open("rb") as second:
        assert sha256_of([first, second]) == shell.stdout.split()[0]
        assert sha256_of([second, first]) != shell.stdout.split()[0]


def test_provenance_becomes_plain_fields_with_the_versions_filled_in() -> None:
    provenance = Provenance(
        model="protein-nano", sha256="ab", modality="protein", items="proteins", units="residues",
        alphabet_sha256="cd",
        dtype="bfloat16", device="cpu", pooling="mean", layer=6,
    )  # fmt: skip

    assert provenance.as_dict() == {
        "model": "protein-nano",
        "sha256": "ab",
        "modality": "protein",
        "items": "proteins",
        "units": "residues",
        "alphabet_sha256": "cd",
        "dtype": "bfloat16",
        "device": "cpu",
        "pooling": "mean",
        "layer": 6,
        "window": 0,
        "gaps": "drop",
        "version": __version__,
        "torch_version": torch_version(),
    }


def test_the_version_of_torch_is_found_without_importing_it(run_python: RunPython) -> None:
    done = run_python("import sys, biofm.core; print(biofm.core.torch_version(), 'torch' in sys.modules)")

    assert done.stdout.split() == [torch_version(), "False"]
