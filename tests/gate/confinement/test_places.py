"""The table of what a worker reads beside its grant."""

import os
import sys
from pathlib import Path

import pytest

from biofm.gate.confinement.places import SYSTEM, find_packages, package_folders, places

PRIVATE = (
    "/home",
    "/root",
    "/tmp",
    "/var",
    "/proc",
    "/proc/self",
    "/proc/self/mem",
    "/dev",
    "/sys",
    "/etc",
    "/",
)


def test_every_place_has_a_reason_and_none_is_a_folder_of_private_files() -> None:
    for place in SYSTEM:
        assert place.reason
        assert place.path.startswith("/")
        assert place.path not in PRIVATE
    assert len({place.path for place in SYSTEM}) == len(SYSTEM)


def test_no_place_lies_above_a_private_folder() -> None:
    found = [place.path for place in places(find_packages(), package_folders(sys.path))]
    assert not [(path, one) for path in found for one in PRIVATE if f"{one}/".startswith(f"{path}/")]


def test_the_folders_of_packages_are_found_and_no_other_entry_of_the_path(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    paths = ["", ".", "site-packages", str(tmp_path), str(site), str(site), str(tmp_path / "dist-packages")]
    assert package_folders(paths) == (str(site),)
    assert [path for path in package_folders(sys.path) if os.path.isdir(os.path.join(path, "torch"))]


def test_the_packages_of_biofm_are_found_where_they_are() -> None:
    root = Path(__file__).parents[3]
    assert find_packages() == {
        "biofm": str(root / "biofm"),
        "biofm_datasets": str(root / "datasets" / "biofm_datasets"),
        "biofm_kernels": str(root / "kernels" / "biofm_kernels"),
    }


def test_a_folder_of_the_dynamic_loader_is_readable_if_its_path_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib:relative::.")
    added = [place.path for place in places({}, ())]
    assert "/opt/lib" in added
    assert not {"", ".", "relative"} & {*added}
