"""Wrong inputs of ``biofm audit`` and ``biofm policy``: each is one clear line, and nothing is made."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import biofm as api
from biofm.gate import ledger_path, policy_in_force
from biofm.policy.files import shipped_text
from tests.cli.conftest import Outcome

Run = Callable[..., Outcome]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and modes are another matter on Windows")


@pytest.fixture(autouse=True)
def things(biofm: Run, state_folder: Path) -> Path:
    """Fill the current folder with what is no ledger, head or key, and give the test a ledger of its own."""
    Path("folder").mkdir()
    Path("empty").touch()
    Path("binary").write_bytes(bytes(range(256)) * 16)
    Path("half.json").write_text('{"ledger":')
    os.mkfifo("pipe")
    with closing(sqlite3.connect("other.sqlite3")) as other:
        other.execute("CREATE TABLE a (b)")
    Path("open.key").write_text("1f" * 32)
    Path("open.key").chmod(0o644)
    Path("text.key").write_text("no key")
    Path("text.key").chmod(0o600)
    api.load("protein-nano")
    Path("head.json").write_text(biofm("audit", "head", "--key", "keys/head.key").out)
    return state_folder


NO_FILE = "this is not an ordinary file, and a ledger is one. Name the file ledger.sqlite3"
NO_LEDGER = "this is no ledger of biofm, or it is damaged"
LEDGERS = {
    "none.sqlite3": "there is no ledger yet. Each verb of biofm",
    "folder": NO_FILE,
    "pipe": NO_FILE,
    "/dev/null": NO_FILE,
    "empty": NO_LEDGER,
    "binary": NO_LEDGER,
    "other.sqlite3": NO_LEDGER,
}


@pytest.mark.parametrize("command", ["show", "export", "head --key new.key"])
@pytest.mark.parametrize("ledger", LEDGERS)
def test_what_is_no_ledger_is_not_read(ledger: str, command: str, biofm: Run) -> None:
    biofm("audit", *command.split(), "--ledger", ledger).check_refusal(
        [f"biofm: {ledger}: {LEDGERS[ledger]}"]
    )
    assert not Path("new.key").exists()


@pytest.mark.parametrize("ledger", ["empty", "binary", "other.sqlite3"])
def test_what_is_no_ledger_is_not_whole(ledger: str, biofm: Run) -> None:
    outcome = biofm("audit", "verify", "--ledger", ledger)
    assert outcome.status == 1
    assert "This is no ledger of biofm: it has no table of entries." in outcome.out
    assert len(outcome.out.splitlines()) <= 4


HEAD = ("--head", "head.json", "--key", "keys/head.key")
WRONG = {
    "no head": (("verify", "--head", "none", *HEAD[2:]), ["none: it cannot be read (No such file"]),
    "a folder as head": (("verify", "--head", "folder", *HEAD[2:]), ["folder: it cannot be read (Is a dir"]),
    "an empty head": (("verify", "--head", "empty", *HEAD[2:]), ["empty: this is no head of a ledger"]),
    "a binary head": (("verify", "--head", "binary", *HEAD[2:]), ["binary: this is no head of a ledger"]),
    "half a head": (("verify", "--head", "half.json", *HEAD[2:]), ["half.json: this is no head"]),
    "no key": (
        ("verify", *HEAD[:2], "--key", "none"),
        ["none: the file of the key cannot be opened (No such"],
    ),
    "a pipe as key": (
        ("verify", *HEAD[:2], "--key", "pipe"),
        ["pipe: the file of the key is not an ordinary"],
    ),
    "a folder as key": (
        ("verify", *HEAD[:2], "--key", "folder"),
        ["folder: the file of the key", "ordinary"],
    ),
    "an open key": (("verify", *HEAD[:2], "--key", "open.key"), ["open.key: others can read", "chmod 600"]),
    "a text as key": (("verify", *HEAD[:2], "--key", "text.key"), ["text.key: this file holds no key"]),
    "another key": (("verify", *HEAD[:2], "--key", "keys/other.key"), ["keys/other.key has not signed this"]),
    "a head alone": (("verify", *HEAD[:2]), ["a head and the key that signed it go together"]),
    "a key alone": (("verify", *HEAD[2:]), ["a head and the key that signed it go together"]),
    "no time": (("show", "--since", "yesterday"), ["--since: 'yesterday' is no time. Write it like 2026-"]),
    "a verb that is none": (("show", "--verb", "dance"), ["no entry of the ledger is what was asked for"]),
    "a path unseen": (("show", "--path", "unseen"), ["no entry", "Leave out --verb, --path or --since"]),
    "keys without a path": (("show", "--key", "text.key"), ["--key: the keys are used to look for a path"]),
    "no keys": (("show", "--path", "a", "--key", "none"), ["none: the file of the key cannot be opened"]),
    "keys that are none": (
        ("show", "--path", "a", "--key", "text.key"),
        ["text.key, line 1: this line is no"],
    ),
    "a key in the ledger's folder": (("head", "--key", "{state}/biofm/k"), ["lies in the ledger's folder"]),
    "a folder to sign with": (("head", "--key", "folder"), ["folder: the file of the key cannot be opened"]),
    "an open key to sign with": (("head", "--key", "open.key"), ["others can read or write", "chmod 600"]),
    "a text to sign with": (("head", "--key", "text.key"), ["text.key: this file holds no key"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_input_is_one_clear_line(what: str, biofm: Run, things: Path) -> None:
    biofm("audit", "head", "--key", "keys/other.key")
    words, parts = WRONG[what]
    before = sorted(Path().rglob("*"))
    biofm("audit", *(word.format(state=things) for word in words)).check_refusal(parts)
    assert sorted(Path().rglob("*")) == before


def test_a_key_that_is_made_is_said_once(biofm: Run) -> None:
    assert biofm("audit", "head", "--key", "new.key").err == (
        "notice: there was no file new.key, so a new key was made in it; keep a copy.\n"
    )
    assert biofm("audit", "head", "--key", "new.key").err == ""


@pytest.mark.parametrize("texts", ["plain", "keyed"])
def test_show_finds_what_was_done_with_a_file(texts: str, biofm: Run) -> None:
    fasta = Path("a.fasta")
    fasta.write_text(">a\nMKT\n")
    policy = shipped_text("research").decode()
    if texts == "keyed":
        policy = policy.replace(
            "texts: plain\nkey: null", f"texts: keyed\nkey: {Path('text.keys').absolute()}"
        )
    Path("policy.yaml").write_text(policy)
    with policy_in_force("./policy.yaml"):
        api.embed(fasta, "one.npz", model="protein-nano")
        api.embed(fasta, "two.npz", model="protein-nano")
    keys = () if texts == "plain" else ("--key", "text.keys")
    found = biofm("audit", "show", "--path", "two.npz", *keys)
    assert found.status == 0, found.err
    kinds = [line.split()[2] for line in found.out.splitlines()[1:]]
    assert kinds == ["request", "outcome", "output", "output"][: len(kinds)]
    assert kinds[:2] == ["request", "outcome"]
    both = biofm("audit", "show", "--path", fasta, *keys).out
    assert both.count("asked for embed") == 2
    if texts == "keyed":
        biofm("audit", "show", "--path", "two.npz").check_refusal(
            ["no entry of the ledger is what was asked"]
        )


POLICY = {
    "an unknown session": (
        ("--session", "0" * 16, "policy", "begin"),
        ["is no open session of this account"],
    ),
    "a long session": (("--session", "a" * 9999, "policy", "begin"), [f"'{'a' * 40}' is no open session"]),
    "nobody who confirms": (("policy", "reset"), ["a person has to confirm it, and nobody did"]),
    "a file without a path": (("policy", "check", "empty"), ["no policy has this name", "such as ./empty"]),
    "a folder": (("policy", "check", "./folder"), ["folder, the file: it cannot be read (Is a directory)"]),
    "a pipe": (("policy", "check", "./pipe"), ["pipe, the file: it is not an ordinary file"]),
    "no label": (("policy", "rights", "--held", "PQ"), ["--held: 'Q' is no label"]),
    "no request": (("policy", "explain", "none.json"), ["none.json: there is no such file"]),
    "a folder as request": (("policy", "explain", "folder"), ["folder: this is a folder, not a file"]),
    "a binary request": (("policy", "explain", "binary"), ["binary, line", "this is not UTF-8"]),
    "half a request": (("policy", "explain", "half.json"), ["half.json", "this is not JSON"]),
    "a device as request": (("policy", "explain", "/dev/zero"), ["/dev/zero: this is a device"]),
}


@pytest.mark.parametrize("what", POLICY)
def test_a_wrong_word_to_policy_is_one_clear_line(what: str, biofm: Run) -> None:
    words, parts = POLICY[what]
    outcome = biofm(*words)
    outcome.check_refusal(parts)
    assert len(outcome.err) < 400


def test_the_card_says_that_everything_is_refused_while_a_policy_cannot_be_read(biofm: Run) -> None:
    card = biofm("--policy", "./half.json", "policy", "rights").out
    assert card.count("is refused: everything is, while this policy cannot be read:") == 3


def test_a_ledger_that_nobody_may_read_is_named(biofm: Run) -> None:
    ledger_path().rename("moved")
    ledger_path().mkdir()
    biofm("audit", "show").check_refusal([f"{ledger_path()}: this is not an ordinary file"])
