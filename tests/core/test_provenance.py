"""Users can check the checksums of a provenance, and an output can hold its fields."""

import hashlib
import io
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_the_sum_of_a_file_that_has_not_changed_is_not_computed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    digest = hashlib.file_digest

    def count(file: Any, name: str) -> Any:
        computed.append(name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", count)
    monkeypatch.setattr("biofm.core.provenance.SETTLED_NS", -1)
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    for name in ("a", "b", "a"):
        with (tmp_path / name).open("rb") as file:
            assert sha256_of([file]) == hashlib.sha256(b"weights").hexdigest()
            assert file.read() == b"weights"
    assert len(computed) == 1
    (tmp_path / "a").write_bytes(b"other weights")
    with (tmp_path / "a").open("rb") as file:
        assert sha256_of([file]) == hashlib.sha256(b"other weights").hexdigest()
    assert len(computed) == 2


def test_the_sum_of_a_file_that_was_changed_a_moment_ago_is_computed_again(tmp_path: Path) -> None:
    """A change of the same size at the same tick of the clock would otherwise go unseen."""
    for content in (b"one", b"two", b"six") * 50:
        (tmp_path / "a").write_bytes(content)
        with (tmp_path / "a").open("rb") as file:
            assert sha256_of([file]) == hashlib.sha256(content).hexdigest()
