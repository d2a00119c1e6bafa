"""``biofm audit`` shows, verifies and exports the ledger, and signs its head."""

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import biofm
from biofm.cli import app
from biofm.core import InputError, LedgerError, OptionError
from biofm.gate import Ledger, ledger_path, principal_of_account
from biofm.gate.ledger.reading import entries_of
from biofm.policy.files import shipped_text
from tests.gate.ledger.damage import fill, patch

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _own_ledger_of_test(state_folder: Path) -> None:
    """Give the test a ledger of its own."""


@pytest.fixture
def filled() -> Path:
    fill(ledger_path(), 40)
    return ledger_path()


def audit(*words: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, words)])


def test_show_lists_the_newest_entries_with_who_asked_for_what(filled: Path) -> None:
    lines = audit("show", "--last", 9).stdout.splitlines()
    assert len(lines) == 10
    assert lines[0].split() == ["entry", "time", "kind", "what"]
    assert [line.split()[0] for line in lines[1:]] == [str(number) for number in range(32, 41)]
    assert " holder 4 asked for embed:" in lines[2]


def test_show_finds_the_requests_of_a_verb_with_their_outcomes() -> None:
    biofm.load("protein-nano", device="cpu").embed(["MKT"])

    lines = audit("show", "--verb", "embed").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["request", "outcome"]
    assert "asked for embed: allow, by the rule research: a-person" in lines[1]
    assert lines[2].endswith("ended: completed")
    shown = json.loads(audit("show", "--verb", "embed", "--json").stdout)
    assert [entry["kind"] for entry in shown] == ["request", "outcome"]
    assert shown[1]["request"] == shown[0]["seq"]
    assert shown[0]["policies"] == [f"research {sha256(shipped_text('research')).hexdigest()}"]


def test_show_spells_labels_and_workers_and_names_the_account(tmp_path: Path) -> None:
    (tmp_path / "patient.dcm").write_text(">a\nMKT\n")
    biofm.embed(tmp_path / "patient.dcm", tmp_path / "out.npz", format="fasta")
    with Ledger(ledger_path()).writing() as book:
        book.append(
            "confinement", {"request": 2, "layers": ["landlock"], "end": "refused", "refused": "open"}
        )

    said = [" ".join(line.split()[2:]) for line in audit("show", "--last", 0).stdout.splitlines()]
    assert f"label {principal_of_account().name} now holds UP" in said
    assert f"output request 2 made {tmp_path}/out.npz, with UP" in said
    assert "confinement request 2 ran in a worker held by landlock: refused: open" in said


def test_show_leaves_out_what_is_older(filled: Path) -> None:
    assert len(json.loads(audit("show", "--since", "2020-01-01", "--last", 0, "--json").stdout)) == 40
    newer = audit("show", "--since", "2999-01-01T09:00")
    assert isinstance(newer.exception, LedgerError)
    assert str(newer.exception).endswith(
        "no entry of the ledger is what was asked for. Leave out --verb, --path or --since"
    )
    wrong = audit("show", "--since", "yesterday").exception
    assert isinstance(wrong, OptionError)
    assert str(wrong) == "--since: 'yesterday' is no time. Write it like 2026-11-30 or 2026-11-30T09:00"


@pytest.mark.parametrize("command", ["show", "verify", "export"])
def test_without_a_ledger_it_says_so(command: str) -> None:
    assert "there is no ledger yet" in str(audit(command).exception)
    assert not ledger_path().exists()


def test_verify_says_that_a_ledger_is_whole_and_what_cannot_be_known(filled: Path) -> None:
    done = audit("verify")
    assert done.exit_code == 0
    assert "a cut tail, cannot be excluded" in done.stdout
    assert done.stdout.endswith(f"The ledger {filled}, with 40 entries, is whole.\n")


def test_the_exit_code_is_1_for_a_damaged_ledger(filled: Path, python_run: Run) -> None:
    patch(filled, ("UPDATE entries SET body = replace(body, 'embed', 'score') WHERE seq = 9", ()))
    done = python_run("-m", "biofm.cli", "audit", "verify")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == (
        "Ledger: Entry 9 does not agree with its hash: its body, its hash or its place was changed."
    )
    assert done.stdout.endswith("with 40 entries, has 1 fault.\n")
    assert json.loads(audit("verify", "--json").stdout)["findings"]


@pytest.mark.parametrize("method", ["hmac-sha256", "ed25519"])
def test_a_head_that_was_printed_shows_a_cut_tail(method: str, filled: Path, tmp_path: Path) -> None:
    printed = audit("head", "--sign", method, "--key", tmp_path / "key")
    (tmp_path / "head").write_text(printed.stdout)
    given = ("--head", tmp_path / "head", "--key", tmp_path / "key")
    assert audit("verify", *given).stdout == f"The ledger {filled}, with 40 entries, is whole.\n"
    patch(filled, ("DELETE FROM entries WHERE seq > 38", ()))
    done = audit("verify", *given)
    assert done.exit_code == 1
    assert "The ledger ends with entry 38, but the head says entry 40" in done.stdout
    filled.rename(tmp_path / "moved")
    removed = audit("verify", *given).exception
    assert isinstance(removed, LedgerError)
    assert "the head says that there were 40 entries, and there is no ledger: it was removed" in str(removed)
    (tmp_path / "moved").rename(filled)
    (tmp_path / "head").write_text(printed.stdout.replace('"seq":40', '"seq":38'))
    assert isinstance(audit("verify", *given).exception, InputError)


def test_a_head_without_its_key_is_refused(filled: Path, tmp_path: Path) -> None:
    assert isinstance(audit("verify", "--head", tmp_path / "head").exception, OptionError)


def test_an_export_is_the_same_bytes_each_time_and_holds_all_entries(filled: Path) -> None:
    printed = audit("export").stdout
    assert printed == audit("export").stdout
    assert printed.splitlines() == [entry.line for entry in entries_of(filled)]
    with Ledger(filled).writing() as book:
        book.append("confinement", {})
    assert audit("export").stdout.startswith(printed)


def test_an_export_for_fhir_is_an_event_each_line(filled: Path) -> None:
    events = [json.loads(line) for line in audit("export", "--format", "fhir").stdout.splitlines()]
    assert len(events) == 40
    assert {event["resourceType"] for event in events} == {"AuditEvent"}
    assert len({event["id"] for event in events}) == 40


def test_a_damaged_entry_is_no_traceback(filled: Path) -> None:
    patch(filled, ("UPDATE entries SET body = 'no JSON' WHERE seq = 9", ()))
    for words in (("show",), ("export", "--format", "fhir")):
        assert "entry 9 is damaged. Say `biofm audit verify`" in str(audit(*words).exception)
