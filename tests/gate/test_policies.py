"""Which policies are in force, and that none of them makes another one milder."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import biofm
from biofm.core import RefusedError
from biofm.gate import account_file, ask, policies, policies_in_force, policy_in_force, read_named
from biofm.policy import Principal, Request, Target
from biofm.policy.files import SHIPPED, shipped_text
from biofm.policy.policies import Invalid, Policy
from tests.conftest import ReadLedger

MakeRequest = Callable[..., Request]
NAMED_MYLAB = shipped_text("research").replace(b"policy: research", b"policy: mylab")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Give the test a system's file and an account's file of its own; there is neither yet."""
    system, account = tmp_path / "etc" / "policy.yaml", tmp_path / "config" / "biofm" / "policy.yaml"
    for path in (system, account):
        path.parent.mkdir(parents=True)
    monkeypatch.setattr(policies, "SYSTEM_FILE", system)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BIOFM_POLICY", raising=False)
    yield system, account
    assert policies._NAMED == []


def names() -> list[str]:
    """Return the names of the policies in force; of an invalid one, what is wrong with it."""
    return [one.what if isinstance(one, Invalid) else one.name for one in policies_in_force()]


def become_a_pipe(path: Path) -> None:
    """Put a pipe, which waits for a writer, in the place of a file."""
    path.unlink()
    os.mkfifo(path)


needs_root = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="only root can make a file that belongs to root"
)


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
    monkeypatch.setattr(policies, "SYSTEM_FILE", plain_folder / "none.yaml")
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


@pytest.fixture
def become() -> Iterator[Callable[[int], None]]:
    """Return a function that makes the test run under an account, as a program that root began would."""

    def change(uid: int) -> None:
        os.setresuid(uid, 0, 0)

    yield change
    os.setresuid(0, 0, 0)


ACCOUNTS = """\
accounts:
  daemon: clinical-agent
  nobody: script
  root: {root}
others: research
...
"""
NOBODY, DAEMON, NAMELESS = 65534, 1, 54_321


@needs_root
def test_the_systems_file_gives_each_account_its_policy_whatever_the_environment_says(
    places: tuple[Path, Path], become: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system, account = places
    (tmp_path / "etc" / "lab.yaml").write_bytes(NAMED_MYLAB)
    system.write_text(ACCOUNTS.format(root=tmp_path / "etc" / "lab.yaml"))
    account.write_bytes(shipped_text("research"))
    for variable in ("USER", "LOGNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(variable, "rosalind")

    found = {}
    for uid in (0, NOBODY, DAEMON, NAMELESS):
        become(uid)
        found[uid] = names()
    assert found == {
        0: ["mylab", "research"],
        NOBODY: ["script", "research"],
        DAEMON: ["clinical-agent", "research"],
        NAMELESS: ["research", "research"],
    }


@needs_root
def test_an_account_may_be_named_by_its_number_and_by_both_it_has_both_policies(
    places: tuple[Path, Path], become: Callable[[int], None]
) -> None:
    system, _ = places
    system.write_text(
        f'accounts:\n  "uid {NAMELESS}": script\n  "uid {NOBODY}": script\n  nobody: clinical-agent\n'
        "others: research\n...\n"
    )
    for uid, expected in ((NAMELESS, ["script"]), (NOBODY, ["clinical-agent", "script"]), (0, ["research"])):
        become(uid)
        assert names() == expected


@needs_root
def test_no_option_or_variable_makes_an_accounts_policy_laxer(
    places: tuple[Path, Path],
    become: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
    make_request: MakeRequest,
    tmp_path: Path,
) -> None:
    system, account = places
    system.write_text(ACCOUNTS.format(root="research"))
    image = tmp_path / "image.dcm"
    image.write_bytes(b"no DICOM, but a private name")
    account.write_bytes(shipped_text("research"))
    monkeypatch.setenv("BIOFM_POLICY", "research")
    request = make_request({"input": image})
    with policy_in_force("research"), ask(request):
        pass
    become(NOBODY)
    with (
        policy_in_force("research"),
        pytest.raises(RefusedError, match="script: no-private-data"),
        ask(request),
    ):
        pytest.fail("the work began")


@needs_root
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("accounts: {}\nothers: research\n", "the last line: it is not `...`"),
        ("accounts: {}\n...\n", "line 1: the key 'others' is missing"),
        ("accounts: {}\nothers: scripts\n...\n", "line 2, others: 'scripts' is not one of research, script"),
        ("accounts: {}\nothers: ./a.yaml\n...\n", "or the absolute path of a policy file"),
        ("accounts:\n  root: [script]\nothers: script\n...\n", "line 2, accounts.root: a list is not one of"),
        ("accounts:\n  root: script\n  root: research\nothers: script\n...\n", "'root' stands there twice"),
        ("accounts: [root]\nothers: script\n...\n", "line 1, accounts: a list is not a mapping"),
        ("accounts:\n  a b: script\nothers: script\n...\n", "'a b' is not the name of an account"),
        ("accounts:\n  1000: script\nothers: script\n...\n", "line 2"),
        ("accounts: {}\nother: script\n...\n", "there is no key 'other'"),
        (ACCOUNTS.format(root="script") + "policy: research\n...\n", "a line ... before the last"),
        ("policy: research\naccounts: {}\nothers: script\n...\n", "there is no key 'policy'"),
        (ACCOUNTS.format(root="/none/policy.yaml"), "/none/policy.yaml, the file: it cannot be read"),
    ],
)
def test_a_fault_of_a_systems_file_of_accounts_refuses_everything_and_is_one_sentence(
    text: str, what: str, places: tuple[Path, Path], make_request: MakeRequest
) -> None:
    system, _ = places
    system.write_text(text)
    with pytest.raises(RefusedError) as caught, ask(make_request()):
        pytest.fail("the work began")
    said = str(caught.value)
    assert what in said
    assert "every policy is readable" in said
    assert "\n" not in said


@needs_root
def test_every_truncation_of_a_systems_file_of_accounts_is_invalid(places: tuple[Path, Path]) -> None:
    system, _ = places
    text = ACCOUNTS.format(root="script")
    for n in range(len(text)):
        system.write_text(text[:n])
        (found,) = policies_in_force()
        assert isinstance(found, Invalid), text[:n]


@needs_root
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda file: file.chmod(0o664), "can be written by others than root"),
        (lambda file: file.parent.chmod(0o777), "can be written by others than root"),
        (lambda file: os.chown(file, NOBODY, 0), "must belong to root"),
        (lambda file: os.chown(file.parent, NOBODY, 0), "must belong to root"),
        (lambda file: os.chown(file.parent.parent, NOBODY, 0), "belongs to an account or can be written"),
        (lambda file: file.parent.parent.chmod(0o777), "belongs to an account or can be written by others"),
        (lambda file: file.parent.parent.chmod(0o1777), ""),
        (lambda file: (file.rename(file.parent / "b"), file.symlink_to("b")), "a link or a dot in its path"),
        (lambda file: file.write_text(ACCOUNTS.format(root="script")), "it gives policies to accounts"),
        (lambda file: file.write_bytes(NAMED_MYLAB[:-1]), "it is not `...`"),
        (become_a_pipe, "it is not an ordinary file"),
    ],
)
def test_a_file_that_the_systems_file_names_must_be_as_safe_as_that_one(
    change: Callable[[Path], None], what: str, places: tuple[Path, Path], tmp_path: Path
) -> None:
    system, _ = places
    named = tmp_path / "lab" / "policies" / "lab.yaml"
    named.parent.mkdir(parents=True)
    named.write_bytes(NAMED_MYLAB)
    system.write_text(ACCOUNTS.format(root=named))
    assert names() == ["mylab"]
    change(named)
    (found,) = policies_in_force()
    assert isinstance(found, Invalid) == bool(what)
    assert what in (found.what if isinstance(found, Invalid) else "")


@pytest.mark.parametrize("place", ["account", "variable"])
def test_only_the_systems_file_gives_policies_to_accounts(
    place: str, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, account = places
    path = account if place == "account" else tmp_path / "other.yaml"
    path.write_text(ACCOUNTS.format(root="research"))
    if place == "variable":
        monkeypatch.setenv("BIOFM_POLICY", str(path))
    (found,) = policies_in_force()
    assert isinstance(found, Invalid)
    assert found.what == "it gives policies to accounts, which the system's file alone may do"
