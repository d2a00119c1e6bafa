"""The version is the checkout's own, or the installed package's."""

from importlib import metadata
from pathlib import Path

import pytest

from biofm.core.version import find_version


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
