"""Labels are held by the account: no new process or handle sheds one, and a person alone ends them."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from biofm.gate import (
    Ledger,
    ask,
    begin_session,
    labels_held,
    ledger_path,
    policies_in_force,
    principal_of_account,
)
from biofm.gate.holders import holder_of
from biofm.policy import Labels, Principal, Request, Target
from tests.conftest import ReadLedger

ASKING = """
import sys
from pathlib import Path
from biofm.api.request import VERBS
from biofm.gate import ask, principal_of_account
from biofm.policy import Content, Request, Target
what, path = sys.argv[1:]
sends = what == "fetch"
request = Request(
    verb="fetch" if sends else "embed", verbs=VERBS, principal=principal_of_account(), options={},
    reads={} if sends else {"input": (Path(path),)},
    writes={"output": Target(path=Path(path + ".out"))} if what == "copy" else {},
    hosts=("huggingface.co",) if sends else (), sends=frozenset({Content.FREE}) if sends else frozenset(),
    code=(), device="", model="", once=frozenset(),
)
with ask(request) as permit:
    if what == "copy":
        permit.writer("output").write(permit.reader("input").read() + b"made")
print("done")
"""
SEPARATE = "import os, sys; os.setsid(); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return a file that the policy ``research`` takes for private data."""
    path = tmp_path / "scan.dcm"
    path.write_bytes(bytes(128) + b"DICM")
    return path


@pytest.fixture
def ask_apart(state_folder: Path) -> Ask:
    """Return a function that asks the gate in a process of its own, which has no terminal."""

    def ask(
        what: str, path: Path, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", SEPARATE, "-c", ASKING, what, str(path)]
        return subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return ask


def test_before_private_data_is_read_a_model_may_be_fetched(ask_apart: Ask, private: Path) -> None:
    assert ask_apart("fetch", private).stdout == "done\n"


@pytest.mark.parametrize("handle", ["none", "earlier", "new", "of another"])
def test_private_data_in_one_process_and_sending_in_the_next_is_refused(
    handle: str, ask_apart: Ask, private: Path
) -> None:
    policies = policies_in_force()
    earlier = begin_session(principal_of_account(), policies)
    another = begin_session(Principal(kind="person", name="someone else"), policies)

    assert ask_apart("embed", private).stdout == "done\n"
    handles = {
        "none": "",
        "earlier": earlier,
        "new": begin_session(principal_of_account(), policies),
        "of another": another,
    }
    found = ask_apart("fetch", private, {"BIOFM_SESSION": handles[handle]})

    assert found.returncode == 1
    rule = "a session belongs to its holder" if handle == "of another" else "research: the rule of two"
    assert f"(rule {rule!r})" in found.stderr.splitlines()[-1]


@pytest.mark.parametrize("first", ["of another", "never begun"])
def test_a_handle_that_is_not_ones_own_opens_nothing(first: str, ask_apart: Ask, private: Path) -> None:
    another = begin_session(Principal(kind="person", name="someone else"), policies_in_force())
    found = ask_apart(
        "copy", private, {"BIOFM_SESSION": another if first == "of another" else "0123456789abcdef"}
    )

    assert found.returncode == 1
    assert "no open session of this account" in found.stderr
    assert not private.with_name("scan.dcm.out").exists()


def test_an_output_carries_the_labels_of_its_inputs(
    ask_apart: Ask, private: Path, read_ledger: ReadLedger, tmp_path: Path
) -> None:
    """The output has another name and no mark of DICOM, and so has its copy."""
    output = private.with_name("scan.dcm.out")
    assert ask_apart("copy", private).stdout == "done\n"
    copied = tmp_path / "harmless.fasta"
    copied.write_bytes(output.read_bytes()[1:])
    whole = tmp_path / "copied.fasta"
    whole.write_bytes(output.read_bytes())
    with Ledger(ledger_path()).writing() as book:
        book.close_session(holder_of(principal_of_account()), "")
    for path, labels in (
        (copied, Labels.UNTRUSTED),
        (whole, Labels.UNTRUSTED | Labels.PRIVATE),
        (output, None),
    ):
        assert ask_apart("embed", path).stdout == "done\n"
        held = labels_held(principal_of_account(), policies_in_force())
        assert labels is None or held == labels
    entries = [json.loads(body) for (body,) in read_ledger("SELECT body FROM entries")]
    (made,) = [one for one in entries if one["kind"] == "output"]
    assert made["labels"] == (Labels.UNTRUSTED | Labels.PRIVATE).value


def test_a_file_that_lay_in_an_output_folder_before_is_not_taken_for_made(
    make_request: Callable[..., Request], tmp_path: Path, read_ledger: ReadLedger
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "planted.fasta").write_text(">a\nMK\n")
    target = Target(path=folder, kind="directory", overwrite=True)
    with ask(make_request(writes={"run": target})) as permit:
        made, began_s = permit.folder("run") / "made.csv", time.time()
        made.touch()
        while made.stat().st_ctime < began_s:  # The clock of files is coarser than that of Python.
            made.write_text("a\n")

    entries = [json.loads(body) for (body,) in read_ledger("SELECT body FROM entries")]
    assert [Path(one["path"]).name for one in entries if one["kind"] == "output"] == ["made.csv"]


@pytest.mark.parametrize("answer", ["yes", "no", ""])
def test_a_person_at_the_terminal_approves_one_request_once(
    answer: str, ask_apart: Ask, private: Path, read_ledger: ReadLedger
) -> None:
    assert ask_apart("embed", private).stdout == "done\n"

    status, shown = at_terminal([sys.executable, "-c", ASKING, "fetch", str(private)], answer)

    assert "contacts: huggingface.co (may send: free text)" in shown
    assert "asked because: " in shown
    assert (status == 0) is (answer == "yes")
    again = ask_apart("fetch", private)
    assert again.returncode == 1
    approvals = [
        json.loads(body)["action"]
        for (body,) in read_ledger("SELECT body FROM entries")
        if '"approval"' in body
    ]
    assert approvals == (["given", "used"] if answer == "yes" else ["declined"])


def test_what_was_typed_before_the_question_is_no_answer(ask_apart: Ask, private: Path) -> None:
    assert ask_apart("embed", private).stdout == "done\n"
    assert at_terminal([sys.executable, "-c", ASKING, "fetch", str(private)], "", early="yes\n")[0] != 0


def test_a_person_ends_the_sessions_at_the_terminal(ask_apart: Ask, private: Path) -> None:
    assert ask_apart("embed", private).stdout == "done\n"
    reset = [sys.executable, "-m", "biofm.cli", "policy", "reset"]
    apart = [sys.executable, "-c", SEPARATE, *reset[1:]]
    alone = subprocess.run(apart, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (alone.returncode, "a person has to confirm it" in alone.stderr) == (1, True)
    assert at_terminal(reset, "no")[0] == 1
    assert Labels.PRIVATE in labels_held(principal_of_account(), policies_in_force())

    status, shown = at_terminal(reset, "yes")

    assert status == 0
    assert "1 session ended." in shown
    assert labels_held(principal_of_account(), policies_in_force()) is Labels.NONE
    assert ask_apart("fetch", private).stdout == "done\n"


def at_terminal(command: list[str], answer: str, *, early: str = "") -> tuple[int, str]:
    """Run a command at a terminal of its own, type an answer, and return the exit code and what was shown.

    ``early`` is typed before the command has asked anything.
    """
    number, terminal = pty.fork()
    if number == 0:
        os.execve(command[0], command, dict(os.environ))
    os.write(terminal, early.encode())
    shown = b""
    while not shown.rstrip().endswith(b"it:"):
        shown += os.read(terminal, 1024)
    os.write(terminal, f"{answer}\n".encode())
    try:
        while part := os.read(terminal, 1024):
            shown += part
    except OSError:  # Linux says so that the process has ended.
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), shown.decode()
