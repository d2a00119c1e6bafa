"""The environment of a run holds versions and hardware, and nothing else."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

import pytest

from biofm.core.environment import Environment, find_commit, find_environment, find_version

ROOT = Path(__file__).resolve().parents[2]


def found() -> Environment:
    return find_environment(threads=2, gpus=["NVIDIA L4"], device="cuda", dtype="bfloat16")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    git(tmp_path, "tag", "-a", "v9", "-m", "a tag is no commit")
    return tmp_path


def test_versions_and_hardware_are_those_of_this_process() -> None:
    here = found()
    assert here.python == ".".join(map(str, sys.version_info[:3]))
    assert here.torch.startswith("2.")
    assert here.cores == len(os.sched_getaffinity(0)) >= 1
    assert (here.threads, here.gpus, here.device, here.dtype) == (2, ("NVIDIA L4",), "cuda", "bfloat16")
    assert here.memory_bytes > 1e8
    assert here.cpu


def test_nothing_names_the_user_the_machine_or_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2")
    told = json.dumps(asdict(found())) + str(found().rows())
    for secret in ("hunter2", socket.gethostname(), str(Path.home()), str(ROOT)):
        assert secret not in told


def test_it_becomes_json_and_rows_for_people() -> None:
    here = replace(found(), commit="0123abcd", cores=8, memory_bytes=16_000_000_000)
    assert json.loads(json.dumps(asdict(here)))["gpus"] == ["NVIDIA L4"]
    rows = here.rows()
    assert rows["biofm"].endswith(", commit 0123abcd")
    assert rows["cores"] == "8 (torch uses 2)"
    assert rows["memory"] == "16.0 GB"


def test_rows_leave_out_what_is_not_there() -> None:
    rows = replace(found(), commit="", memory_bytes=0, gpus=()).rows()
    assert rows["biofm"] == found().biofm
    assert not {"memory", "GPUs"} & set(rows)


def test_the_commit_is_told_and_that_files_differ_from_it(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "--short=12", "HEAD")
    assert find_commit(checkout) == commit
    (checkout / "a.py").write_text("2\n")
    assert find_commit(checkout) == f"{commit}-dirty"


def test_a_folder_inside_another_checkout_is_none(checkout: Path) -> None:
    """Check this for an installed biofm whose environment lies in a user's own repository."""
    (checkout / "inside").mkdir()
    assert find_commit(checkout / "inside") == ""


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_commit(checkout) == ""


def test_a_checkout_states_its_version(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "biofm"\nversion = "7.8.9"', encoding="utf-8")
    assert find_version(tmp_path) == "7.8.9"


def test_an_installed_package_states_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: f"{name} 4.5.6")
    assert find_version(tmp_path) == "biofm 4.5.6"


def test_another_project_is_not_taken_for_biofm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1"', encoding="utf-8")
    monkeypatch.setattr(metadata, "version", lambda name: "4.5.6")
    assert find_version(tmp_path) == "4.5.6"
