"""An optional part that is not installed is a sentence that names the extra."""

import sys
from importlib import import_module

import pytest

from biofm.core import MissingExtraError


def test_without_the_package_esm_its_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "esm", None)  # type: ignore[arg-type]  # None makes it impossible to import
    monkeypatch.delitem(sys.modules, "biofm.esm", raising=False)
    with pytest.raises(MissingExtraError, match=r"^biofm\.esm: .*run pip install '\.\[esm\]'"):
        import_module("biofm.esm")
