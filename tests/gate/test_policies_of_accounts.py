"""The system's file may give each account a policy of its own, which the account cannot change."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biofm.core import RefusedError
from biofm.gate import ask, policies_in_force, policy_in_force
from biofm.policy import Request
from biofm.policy.files import shipped_text
from biofm.policy.policies import Invalid
from tests.gate.policy_files import NAMED_MYLAB, become_a_pipe, names, needs_root

MakeRequest = Callable[..., Request]


@pytest.fixture(autouse=True)
def _own_places(places: tuple[Path, Path]) -> None:
    """Give the test a system's file and an account's file of its own."""


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
