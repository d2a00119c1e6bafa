"""A head that is kept elsewhere shows a cut tail, an earlier copy and a rewritten chain."""

import sys
from pathlib import Path

import pytest

from biofm.core import InputError, LedgerError, MissingExtraError
from biofm.gate import Ledger
from biofm.gate.ledger.entries import NO_HASH, canonical, chained
from biofm.gate.ledger.heads import Head, make_head, read_head
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify
from tests.gate.ledger.damage import fill, patch

METHODS = ("hmac-sha256", "ed25519")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "ledger.sqlite3"
    fill(path, 20)
    return path


@pytest.fixture(params=METHODS)
def kept(request: pytest.FixtureRequest, ledger: Path, tmp_path: Path) -> Head:
    """Return a head that was kept and read again."""
    made = make_head(ledger, tmp_path / "key", request.param)
    write(made, tmp_path / "head")
    public = tmp_path / ("key.pub" if request.param == "ed25519" else "key")
    found = read_head(tmp_path / "head", public, ledger)
    assert found == made == read_head(tmp_path / "head", tmp_path / "key", ledger)
    return found


def write(head: Head, path: Path) -> None:
    path.write_text(canonical({name: getattr(head, name) for name in Head.__slots__}))


def test_a_ledger_that_went_on_agrees_with_its_head(kept: Head, ledger: Path) -> None:
    with Ledger(ledger).writing() as book:
        book.append("confinement", {})
    report = verify(ledger, kept)
    assert (report.findings, report.notes) == ((), ())


def test_a_cut_tail_is_found(kept: Head, ledger: Path) -> None:
    patch(ledger, ("DELETE FROM entries WHERE seq = 20", ()))
    assert "The ledger ends with entry 19, but the head says entry 20" in verify(ledger, kept).findings[-1]


def test_a_rollback_that_went_on_and_a_rewritten_chain_are_found(kept: Head, ledger: Path) -> None:
    previous = NO_HASH
    changes = []
    for entry in entries_of(ledger):
        forged = chained(previous, entry.seq, entry.fields | {"time": "2020-01-01T00:00:00.000+00:00"})
        changes.append(
            ("UPDATE entries SET body = ?, hash = ? WHERE seq = ?", (forged.body, forged.hash, forged.seq))
        )
        previous = forged.hash
    patch(ledger, *changes)
    assert verify(ledger).findings == ()
    assert verify(ledger, kept).findings == (
        "Entry 20 has another hash than the head says: the entries up to it were rewritten.",
    )


def test_another_ledger_is_found(kept: Head, tmp_path: Path) -> None:
    fill(tmp_path / "other.sqlite3", 20)
    (finding,) = verify(tmp_path / "other.sqlite3", kept).findings
    assert finding.startswith(f"The head is of the ledger {kept.ledger}, but this is the ledger ")


@pytest.mark.parametrize("method", METHODS)
def test_a_changed_head_or_another_key_is_refused(method: str, ledger: Path, tmp_path: Path) -> None:
    made = make_head(ledger, tmp_path / "key", method)  # type: ignore[arg-type]
    make_head(ledger, tmp_path / "other", method)  # type: ignore[arg-type]
    write(made, tmp_path / "head")
    with pytest.raises(InputError, match="has not signed this head"):
        read_head(tmp_path / "head", tmp_path / "other", ledger)
    text = (tmp_path / "head").read_text()
    (tmp_path / "head").write_text(text.replace('"seq":20', '"seq":19'))
    with pytest.raises(InputError, match="has not signed this head"):
        read_head(tmp_path / "head", tmp_path / "key", ledger)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ledger": 1}', "\0"])
def test_another_file_is_no_head(text: str, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "head").write_text(text)
    with pytest.raises(InputError, match="this is no head of a ledger"):
        read_head(tmp_path / "head", tmp_path / "key", ledger)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_that_is_no_key_is_refused(method: str, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "key").touch(mode=0o600)
    (tmp_path / "key").write_text("something else")
    with pytest.raises(LedgerError, match=r"this file holds no key"):
        make_head(ledger, tmp_path / "key", method)  # type: ignore[arg-type]


def test_without_cryptography_the_other_method_is_named(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match="pip install cryptography, or sign with --sign hmac-sha256"):
        make_head(ledger, tmp_path / "key", "ed25519")
