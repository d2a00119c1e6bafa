"""No sequence of allowed calls breaks a rule, and without any of the guards the search finds one that does.

The whole search, with three sessions of each holder and with every call, is tests/long/search.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from biofm.gate import judging
from biofm.gate.ledger import Book
from biofm.policy import Labels, rules
from biofm.policy.files import SHIPPED
from biofm.policy.policies import Sink
from tests.gate.search import CALLS, Search, existing_file, policy_for_search

Remove = Callable[[pytest.MonkeyPatch], None]

SENDING = ("embed a private file", "embed what was made", "fetch a model", "send free text to the archive")
RUNNING = (*SENDING[:3], "run a program")
RESTLESS = ("embed a private file", "fetch a model", "run a program")


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("calls", [RESTLESS, SENDING[:3]], ids=["sessions", "approvals"])
def test_no_sequence_of_allowed_calls_breaks_a_rule(
    name: str, calls: tuple[str, ...], tmp_path: Path
) -> None:
    is_approved = calls is not RESTLESS
    search = Search(
        policy_for_search(name),
        existing_file(tmp_path),
        n_sessions=0 if is_approved else 1,
        n_within=0 if is_approved else 1,
        calls=calls,
        with_approvals=is_approved,
        with_resets=not is_approved,
        is_exact=is_approved,
    ).run()

    print(f"{name}: {search.n_states:,} states, {search.n_transitions:,} transitions")
    assert search.violations == []
    assert search.n_states > 1


def without_rule(rule: str) -> Remove:
    """Return what removes the rule of three or of two."""

    def remove(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = rules._judge_labels

        def judge_labels(*given: Any) -> Iterator[Any]:
            yield from (finding for finding in whole(*given) if finding[1] != rule)

        monkeypatch.setattr(rules, "_judge_labels", judge_labels)

    return remove


def without_label(label: Labels) -> Remove:
    """Return what lets no request raise a label."""

    def remove(monkeypatch: pytest.MonkeyPatch) -> None:
        whole = rules.labels_raised
        for module in (rules, judging):
            monkeypatch.setattr(module, "labels_raised", lambda *given: whole(*given) & ~label)

    return remove


def with_function(owner: Any, name: str, function: Callable[..., Any]) -> Remove:
    """Return what puts a function in the place of a guard."""

    def remove(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(owner, name, function)

    return remove


def accept_every_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a request name any handle, and give its labels to whoever holds the session."""
    every = "SELECT DISTINCT holder, session FROM holders WHERE closed_seq = 0"

    def raise_labels(self: Book, holder: str, session: str, labels: int) -> None:
        owner = {name: who for who, name in self._rows(every)}.get(session, holder) if session else holder
        if labels & ~self.sessions(owner).get(session, 0):
            self.append("label", {"holder": owner, "session": session, "labels": labels})

    monkeypatch.setattr(Book, "raise_labels", raise_labels)
    monkeypatch.setattr(judging, "NO_SESSION", _Anything())


class _Anything:
    """Equals every text."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = object.__hash__


def raise_nothing(self: Book, holder: str, session: str, labels: int) -> None:
    """Stand in the place of ``Book.raise_labels``."""


def forget_output(*given: Any, **named: Any) -> None:
    """Stand in the place of ``Book.note_output``."""


def approval_that_stays(self: Book, request_hash: str, holder: str, now_s: float) -> bool:
    """Stand in the place of ``Book.use_approval``."""
    return True


def held_without_a_handle(self: Book, holder: str) -> int:
    """Return only what came without a handle."""
    return self.sessions(holder).get("", 0)


def close_and_return_nothing(self: Book, holder: str, session: str) -> None:
    """Stand in the place of ``Book.close_session``: the session around this one does not get its labels."""
    fields = {"action": "closed", "holder": holder, "session": session, "labels": 0}
    self.append("session", fields)


close_of_one = Book.close_all
"""The whole method, which the next stand-in calls for every holder."""


def close_of_everyone(self: Book, holder: str) -> None:
    """Stand in the place of ``Book.close_all``."""
    for (one,) in self._rows("SELECT DISTINCT holder FROM holders"):
        close_of_one(self, one)


is_approved_in_time = Book.approval
"""The whole method, which the next stand-in calls with a clock that stands."""


def approval_without_end(self: Book, request_hash: str, holder: str, now_s: float) -> str:
    """Stand in the place of ``Book.approval``: no time passes."""
    return is_approved_in_time(self, request_hash, holder, 0)


def approval_of_anyone(self: Book, request_hash: str, holder: str, now_s: float) -> str:
    """Stand in the place of ``Book.approval``: an approval of another request counts too."""
    found = is_approved_in_time(self, request_hash, holder, now_s)
    return "live" if found == "other" else found


GUARDS: dict[str, tuple[str, Remove, dict[str, Any]]] = {
    "the rule of three": ("research", without_rule(rules.THREE), {}),
    "the rule of two": ("research", without_rule(rules.TWO), {}),
    "reading untrusted files raises U": ("clinical-agent", without_label(Labels.UNTRUSTED), {}),
    "reading private files raises P": ("research", without_label(Labels.PRIVATE), {}),
    "running a program raises X": ("research", without_label(Labels.EXECUTES), {}),
    "contacting a host raises E": ("research", without_label(Labels.EXTERNAL), {}),
    "labels are written before the action": (
        "research",
        with_function(Book, "raise_labels", raise_nothing),
        {},
    ),
    "all sessions of a holder count": (
        "research",
        with_function(Book, "held", held_without_a_handle),
        {"n_sessions": 1},
    ),
    "a handle belongs to its holder": ("research", accept_every_handle, {"n_sessions": 1}),
    "a session returns its labels to the one that it is within": (
        "research",
        with_function(Book, "close_session", close_and_return_nothing),
        {"n_sessions": 1, "n_within": 1},
    ),
    "a person ends the sessions of one holder": (
        "research",
        with_function(Book, "close_all", close_of_everyone),
        {"with_resets": True},
    ),
    "outputs carry the labels of their inputs": (
        "research",
        with_function(Book, "note_output", forget_output),
        {},
    ),
    "an approval is of one request": (
        "research",
        with_function(Book, "approval", approval_of_anyone),
        {"with_approvals": True, "calls": tuple(CALLS)},
    ),
    "an approval is used once": (
        "research",
        with_function(Book, "use_approval", approval_that_stays),
        {"with_approvals": True},
    ),
    "an approval ends": (
        "research",
        with_function(Book, "approval", approval_without_end),
        {"with_approvals": True},
    ),
    "free text goes to no typed sink": (
        "clinical-agent",
        with_function(Sink, "takes", lambda self, host, verb, sends: host == f"{self.host}:{self.port}"),
        {"calls": SENDING},
    ),
    "only typed sinks excuse": ("research", with_function(rules, "_is_typed", lambda *given: True), {}),
}
"""Each guard, with the policy under which it is needed, what removes it, and how the search is set."""


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_the_search_finds_a_sequence_that_breaks_a_rule(
    guard: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name, remove, setting = GUARDS[guard]
    settings = {"n_sessions": 0, "calls": RUNNING, "with_approvals": False, **setting}
    search = Search(policy_for_search(name), existing_file(tmp_path), **settings)
    remove(monkeypatch)

    search.run()

    print(search.violations)
    assert len(search.violations) == 1
