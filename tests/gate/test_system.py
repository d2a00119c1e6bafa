"""What the system's file says of accounts beside their policies: which are agents', and where ledgers lie."""

import os
import pwd
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from biofm.core import LedgerError
from biofm.gate import (
    accounts,
    approvals,
    ask,
    begin_session,
    expanded,
    labels_held,
    ledger_path,
    policies_in_force,
    principal_of_account,
)
from biofm.policy import Labels, Request, Verdict
from biofm.policy.requests import AGENT, PERSON
from biofm.policy.verdicts import Decision
from tests.conftest import ReadLedger
from tests.gate.policy_files import needs_root

MakeRequest = Callable[..., Request]
ASKED = Verdict(decision=Decision.ASK, rule="a rule", reason="a reason", remedy="Wait", evidence=())
SOMEBODY = 54_321

pytestmark = [needs_root, pytest.mark.skipif(sys.platform == "win32", reason="it has no system's file")]


@pytest.fixture(autouse=True)
def system(places: tuple[Path, Path]) -> Path:
    """Return the path of a system's file of this test alone; there is none yet."""
    return places[0]


def says(system: Path, *lines: str) -> None:
    """Let the system's file say more than that every account has the policy ``research``."""
    system.write_text("\n".join(("accounts: {}", "others: research", *lines, "...", "")))


def test_no_variable_moves_the_ledger_of_a_machine_with_a_systems_file(
    system: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ledger_path() == Path(os.environ["XDG_STATE_HOME"], "biofm", "ledger.sqlite3")
    says(system)
    at_home = tmp_path / "home" / ".local" / "state" / "biofm" / "ledger.sqlite3"
    assert ledger_path() == at_home
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert ledger_path() == at_home
    system.write_text("half of")
    assert ledger_path() == at_home


def test_the_systems_file_names_the_folder_of_all_ledgers(
    system: Path, tmp_path: Path, make_request: MakeRequest
) -> None:
    says(system, f"ledgers: {tmp_path}/ledgers")
    with ask(make_request()):
        pass
    name = pwd.getpwuid(os.getuid()).pw_name
    assert (tmp_path / "ledgers" / name / "ledger.sqlite3").is_file()
    assert ledger_path() == tmp_path / "ledgers" / name / "ledger.sqlite3"


def test_a_ledger_that_cannot_lie_there_says_who_can_move_it(
    system: Path, tmp_path: Path, make_request: MakeRequest
) -> None:
    (tmp_path / "file").touch()
    says(system, f"ledgers: {tmp_path}/file")
    with pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")
    assert caught.value.remedy.endswith(f"let root name another folder for ledgers in {system}")


def test_the_home_of_a_policys_paths_is_that_of_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    assert accounts.home_of_account() == pwd.getpwuid(os.getuid()).pw_dir
    assert expanded("~/patients") == Path(pwd.getpwuid(os.getuid()).pw_dir, "patients")
    assert expanded("/~/patients") == Path("/~/patients")


@pytest.mark.parametrize("spelling", ["root", '"uid 0"'])
def test_an_agents_account_asks_as_an_agent_and_keeps_the_labels_that_it_had(
    spelling: str, system: Path, tmp_path: Path, make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    says(system, f"ledgers: {tmp_path}")
    private = tmp_path / "scan.dcm"
    private.touch()
    with ask(make_request({"input": private})):
        pass
    assert principal_of_account().kind == PERSON

    says(system, f"ledgers: {tmp_path}", f"agents: [{spelling}]")

    assert principal_of_account().kind == AGENT
    assert Labels.PRIVATE in labels_held(principal_of_account(), policies_in_force())
    begin_session(principal_of_account(), policies_in_force())
    says(system, f"ledgers: {tmp_path}")
    assert principal_of_account().kind == PERSON


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Answer every question at a terminal with yes, and return what stood there."""
    import pty

    ours, theirs = pty.openpty()
    monkeypatch.setattr(approvals, "TERMINAL", os.ttyname(theirs))
    shown: list[str] = []

    def answer() -> None:
        with suppress(OSError):
            while part := os.read(ours, 4096).decode():
                shown.append(part)
                if "".join(shown).rstrip().endswith("it:"):
                    os.write(ours, b"yes\n")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(answer)
        yield shown
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize(
    ("login", "agents", "expected"),
    [
        (SOMEBODY, True, True),
        (0, True, None),
        (approvals.NO_LOGIN, True, None),
        (0, False, True),
        (approvals.NO_LOGIN, False, True),
    ],
    ids=[
        "a person became the agent",
        "the agent itself",
        "nobody logged in",
        "a person",
        "a person's service",
    ],
)
def test_an_agent_does_not_answer_for_itself(
    login: int,
    agents: bool,
    expected: bool | None,
    system: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_request: MakeRequest,
    answered: list[str],
) -> None:
    says(system, "agents: [root]" if agents else "")
    (tmp_path / "loginuid").write_text(str(login))
    monkeypatch.setattr(approvals, "LOGIN", str(tmp_path / "loginuid"))
    request = make_request(principal=principal_of_account())
    assert approvals.ask_person(request, ASKED, "0" * 64, 60) is expected
    assert approvals.confirm("Really?", principal_of_account()) is expected
    assert bool(answered) is (expected is True)


def test_a_person_sees_the_options_the_device_and_where_all_files_are(
    answered: list[str], make_request: MakeRequest, tmp_path: Path
) -> None:
    many = tuple(tmp_path / f"{i}.fasta" for i in range(30))
    options = {"layer": 6, "input": "x" * 999, "window": 0}
    request = make_request({"input": many}, options=options, device="cuda:1", model="protein-nano")
    assert approvals.ask_person(request, ASKED, "0" * 64, 60) is True
    told = "".join(answered)
    assert f"10 more files, all below {tmp_path}" in told
    assert f"with: layer=6, input={'x' * 200}... (999 characters in all)" in told
    assert "device: cuda:1" in told
    assert "model: protein-nano" in told
