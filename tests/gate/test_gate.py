"""The policy decides first, then the ledger records the verdict, then files are opened."""

import getpass
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import InputError, LedgerError, RefusedError
from biofm.gate import ask, ledger_path, principal_of_account
from biofm.policy import Principal, Request, Target
from tests.conftest import ReadLedger

OUTCOME = "SELECT decision, outcome, error FROM requests LEFT JOIN outcomes ON id = request"

MakeRequest = Callable[..., Request]


def test_a_request_that_is_refused_opens_nothing_and_is_remembered(
    tmp_path: Path, make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    request = make_request(
        {"input": tmp_path / "missing.fasta"},
        {"run": Target(path=tmp_path / "run", kind="directory")},
        principal=Principal(kind="agent", name="lab-7"),
    )

    with pytest.raises(RefusedError) as caught, ask(request):
        pytest.fail("the work began")

    assert str(caught.value) == (
        "embed: the policy does not allow this (rule 'research: what no rule covers is refused'): "
        "no rule of the policy covers embed by a principal of the kind 'agent'. "
        "Name a policy, with biofm --policy or BIOFM_POLICY, whose rules cover it"
    )
    assert list(tmp_path.iterdir()) == []
    assert read_ledger(OUTCOME) == [("refuse", None, None)]


def test_a_verb_that_is_not_declared_opens_nothing_and_is_remembered(
    tmp_path: Path, make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    request = make_request({"input": tmp_path / "missing.fasta"}, verb="synthesise", options={"n": 3})

    with pytest.raises(RefusedError) as caught, ask(request):
        pytest.fail("the work began")

    assert str(caught.value).startswith(
        "synthesise: the policy does not allow this (rule 'research: what is not declared is refused'): "
        "'synthesise' is not one of the verbs configure, contacts, describe, embed, "
    )
    (row,) = read_ledger("SELECT verb, decision, rule, options FROM requests")
    assert row == ("synthesise", "refuse", "research: what is not declared is refused", '{"n":3}')
    assert read_ledger(OUTCOME) == [("refuse", None, None)]


def test_the_verdict_is_in_the_ledger_while_the_work_runs(
    make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    with ask(make_request()):
        assert read_ledger(OUTCOME) == [("allow", None, None)]
    assert read_ledger(OUTCOME) == [("allow", "completed", "")]


def test_the_verdict_is_in_the_ledger_before_anything_is_opened(
    tmp_path: Path, make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    with pytest.raises(InputError), ask(make_request({"input": tmp_path / "missing.fasta"})):
        pytest.fail("the work began")

    assert read_ledger(OUTCOME) == [("allow", "failed", "InputError")]


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (ValueError("a secret sequence"), ("allow", "failed", "ValueError")),
        (KeyboardInterrupt(), ("allow", "interrupted", "KeyboardInterrupt")),
        (SystemExit(143), ("allow", "interrupted", "SystemExit")),
    ],
)
def test_the_ledger_says_how_the_work_ended_without_the_faults_words(
    fault: BaseException, outcome: tuple[str, str, str], make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    with pytest.raises(type(fault)), ask(make_request()):
        raise fault

    assert read_ledger(OUTCOME) == [outcome]


def test_where_only_the_ledgers_note_of_the_end_is_missing_it_says_that_the_output_is_whole(
    tmp_path: Path, make_request: MakeRequest
) -> None:
    output = tmp_path / "out.csv"

    def work() -> None:
        with ask(make_request(writes={"output": Target(path=output)})) as permit:
            permit.writer("output").write(b"whole")
            ledger_path().write_text("something else entirely" * 100)

    with pytest.raises(LedgerError, match=rf"the output is complete \({output}\), but the ledger does not"):
        work()

    assert output.read_bytes() == b"whole"


def test_a_fault_is_not_hidden_by_a_ledger_that_fails_too(make_request: MakeRequest) -> None:
    def work() -> None:
        with ask(make_request()):
            ledger_path().write_text("something else entirely" * 100)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()

    assert "the ledger is damaged" in caught.value.__notes__[0]


def test_an_unknown_role_is_a_programmers_fault(make_request: MakeRequest) -> None:
    with pytest.raises(KeyError), ask(make_request()) as permit:
        permit.reader("input")


def test_the_person_is_the_account_and_not_what_the_environment_claims(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert getpass.getuser() == "somebody-else"

    assert principal_of_account().kind == "person"
    assert principal_of_account().name != "somebody-else"


def test_an_account_without_a_name_is_called_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)

    assert principal_of_account().name == "uid 4000000001"
