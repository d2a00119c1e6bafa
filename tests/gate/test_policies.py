"""Which policies are in force, and that none of them makes another one milder."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import biofm
from biofm.core import RefusedError
from biofm.gate import account_file, ask, policies_in_force, policy_in_force, read_named, system
from biofm.policy import Principal, Request, Target
from biofm.policy.files import SHIPPED, shipped_text
from biofm.policy.policies import Invalid, Policy
from tests.conftest import ReadLedger
from tests.gate.policy_files import NAMED_MYLAB, become_a_pipe, names, needs_root

MakeRequest = Callable[..., Request]


@pytest.fixture(autouse=True)
def _own_places(places: tuple[Path, Path]) -> None:
    """Give the test a system's file and an account's file of its own."""


def test_where_none_is_named_it_is_research() -> None:
    assert names() == ["research"]


@needs_root
def test_every_policy_that_is_named_is_in_force(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system, account = places
    system.write_bytes(shipped_text("clinical-agent"))
    assert names() == ["clinical-agent"]
    account.write_bytes(NAMED_MYLAB)
    monkeypatch.setenv("BIOFM_POLICY", "script")
    (tmp_path / "more.yaml").write_bytes(shipped_text("research"))

    with policy_in_force(str(tmp_path / "more.yaml")), policy_in_force("script"):
        assert names() == ["clinical-agent", "mylab", "script", "research", "script"]
    assert names() == ["clinical-agent", "mylab", "script"]


@needs_root
@pytest.mark.parametrize("laxer", SHIPPED)
def test_neither_option_nor_variable_nor_file_makes_the_systems_policy_laxer(
    laxer: str,
    places: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    make_request: MakeRequest,
    tmp_path: Path,
) -> None:
    system, account = places
    image = tmp_path / "image.dcm"
    image.write_bytes(b"no DICOM, but a private name")
    system.write_bytes(shipped_text("script"))
    account.write_bytes(shipped_text(laxer))
    monkeypatch.setenv("BIOFM_POLICY", laxer)

    with (
        policy_in_force(laxer),
        pytest.raises(RefusedError, match="script: no-private-data"),
        ask(make_request({"input": image})),
    ):
        pytest.fail("the work began")


@needs_root
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda path: path.chmod(0o664), "can be written by others than root"),
        (lambda path: path.chmod(0o646), "can be written by others than root"),
        (lambda path: path.parent.chmod(0o777), "can be written by others than root"),
        (lambda path: os.chown(path, 65534, 0), "must belong to root"),
        (lambda path: os.chown(path.parent, 65534, 0), "must belong to root"),
        (lambda path: path.write_bytes(b""), "it is not `...`"),
        (lambda path: (path.unlink(), path.mkdir()), "it cannot be read (Is a directory)"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere")), "it cannot be read"),
        (become_a_pipe, "it is not an ordinary file"),
    ],
)
def test_a_systems_file_that_others_could_change_or_nobody_can_read_refuses_everything(
    change: Callable[[Path], None], what: str, places: tuple[Path, Path], make_request: MakeRequest
) -> None:
    system, _ = places
    system.write_bytes(shipped_text("research"))
    assert names() == ["research"]
    change(system)

    (found,) = policies_in_force()
    assert isinstance(found, Invalid)
    assert what in found.what
    with pytest.raises(RefusedError, match="every policy is readable"), ask(make_request()):
        pytest.fail("the work began")


@pytest.mark.parametrize("content", [b"", NAMED_MYLAB[:-1], NAMED_MYLAB * 2, bytes(1_000_001)])
def test_an_invalid_file_of_the_account_refuses_everything_and_is_remembered(
    content: bytes, places: tuple[Path, Path], make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    _, account = places
    account.write_bytes(content)

    with pytest.raises(RefusedError) as caught, ask(make_request()):
        pytest.fail("the work began")

    assert f"everything is refused: {account}" in str(caught.value)
    assert read_ledger("SELECT decision, rule FROM requests") == [("error", "every policy is readable")]


@pytest.mark.parametrize(
    ("word", "what"),
    [("scripts", "no policy has this name"), ("./none.yaml", "it cannot be read"), (".", "Is a directory")],
)
def test_a_name_or_path_without_a_policy_refuses_everything(
    word: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIOFM_POLICY", word)
    (found,) = policies_in_force()
    assert isinstance(found, Invalid)
    assert what in found.what


def test_a_changed_file_counts_at_the_next_request(places: tuple[Path, Path]) -> None:
    _, account = places
    account.write_bytes(shipped_text("script"))
    assert names() == ["script"]
    account.write_bytes(NAMED_MYLAB)
    assert names() == ["mylab"]


def test_the_accounts_file_lies_below_the_home_folder_if_nothing_else_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert account_file() == tmp_path / ".config" / "biofm" / "policy.yaml"


def test_an_account_that_may_not_look_into_its_home_folder_has_no_policy_there(
    plain_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = plain_folder / "closed"
    (closed / "biofm").mkdir(parents=True)
    (closed / "biofm" / "policy.yaml").write_bytes(NAMED_MYLAB)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(closed))
    monkeypatch.setattr(system, "SYSTEM_FILE", plain_folder / "none.yaml")
    assert names() == ["mylab"]
    (closed / "biofm" / "policy.yaml").chmod(0)
    assert names() == ["it cannot be read (Permission denied)"]
    closed.chmod(0)
    assert names() == ["research"]


def test_a_program_names_a_policy_for_all_its_threads_and_a_relative_path_keeps_its_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_bytes(NAMED_MYLAB)
    seen: list[list[str]] = []
    with biofm.policy_in_force("./my.yaml"):
        (tmp_path / "below").mkdir()
        os.chdir("below")
        thread = threading.Thread(target=lambda: seen.append(names()))
        thread.start()
        thread.join()
    assert seen == [["mylab"]]
    assert names() == ["research"]


def test_what_would_be_asked_is_refused_where_nobody_can_be_asked(
    make_request: MakeRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_ledger: ReadLedger
) -> None:
    careful = shipped_text("research").replace(b"decision: allow", b"decision: ask")
    (tmp_path / "careful.yaml").write_bytes(careful)
    monkeypatch.setenv("BIOFM_POLICY", str(tmp_path / "careful.yaml"))

    with (
        pytest.raises(
            RefusedError, match="a person would have to approve it at the terminal, and nobody did"
        ),
        ask(make_request()),
    ):
        pytest.fail("the work began")

    assert read_ledger("SELECT decision FROM requests") == [("ask",)]


def test_an_agent_works_under_script_and_not_under_research(
    make_request: MakeRequest, tmp_path: Path
) -> None:
    agent = Principal(kind="agent", name="lab-7")
    request = make_request(writes={"output": Target(path=tmp_path / "a.csv")}, principal=agent)
    with pytest.raises(RefusedError, match="what no rule covers is refused"), ask(request):
        pytest.fail("the work began")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIOFM_POLICY", "script")
        with ask(request) as permit:
            permit.writer("output").write(b"made")
    assert (tmp_path / "a.csv").read_bytes() == b"made"


def test_every_shipped_policy_can_be_named() -> None:
    assert all(isinstance(read_named(name), Policy) for name in SHIPPED)
