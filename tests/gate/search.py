"""Searches every sequence of calls for one that breaks the rules of labels. The gate's own code judges each.

Two holders ask, with no session, with one of their own, with one within that, or with a handle of the other.
Every class of verb is asked for, files that were made by one holder are read by the other, persons approve
requests and end all sessions of a holder, and time passes. What each holder has really touched is kept apart
from what the ledger says: a call that is allowed and breaks a rule by that measure is a violation.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from biofm.gate.holders import NO_SESSION, holder_of
from biofm.gate.judging import digest_of, judge_in
from biofm.gate.ledger import Book, parent_of, segments
from biofm.gate.made import note_outputs
from biofm.policy import (
    Alteration,
    Approval,
    Content,
    Decision,
    Evidence,
    Labels,
    Models,
    Principal,
    Request,
    Screening,
    Target,
)
from biofm.policy.files import read_policy, shipped_text
from biofm.policy.policies import Policy

NONE, U, P, X, E = Labels.NONE, Labels.UNTRUSTED, Labels.PRIVATE, Labels.EXECUTES, Labels.EXTERNAL
SINK = "10.0.0.5:104"
VALID_S = 300
MOST_APPROVALS = 2
FULL_HOSTS = """hosts:
  fetch: [huggingface.co]
  pretrain: [api.wandb.ai]
  run_program: [huggingface.co]
sinks:
  - {name: archive, host: 10.0.0.5, port: 104, verbs: [predict], content: [numbers, codes]}
"""


@dataclass(frozen=True, slots=True)
class Call:
    """Describes one class of calls.

    Attributes:
        verb: The verb.
        reads: The labels of what it reads.
        code: Whether it runs a program of the caller.
        hosts: The hosts that it contacts.
        sends: What it sends there.
        loses: Whether it overwrites what this account, and not biofm, has made.
        makes: Whether it makes the file that other calls read.
        reads_made: Whether it reads that file.
    """

    verb: str
    reads: Labels = Labels.NONE
    code: bool = False
    hosts: tuple[str, ...] = ()
    sends: frozenset[Content] = frozenset()
    loses: bool = False
    makes: bool = False
    reads_made: bool = False


FREE, TYPED = frozenset({Content.FREE}), frozenset({Content.NUMBERS})
CALLS: Mapping[str, Call] = {
    "look at a shipped example": Call("describe"),
    "embed a public file": Call("embed", U),
    "embed a private file": Call("embed", U | P, makes=True),
    "embed what was made": Call("embed", reads_made=True),
    "run a program": Call("run_program", U, code=True),
    "run a program on private data": Call("run_program", U | P, code=True),
    "run a program that sends": Call("run_program", U, code=True, hosts=("huggingface.co",), sends=FREE),
    "fetch a model": Call("fetch", hosts=("huggingface.co",), sends=FREE),
    "train and send the log": Call("pretrain", U, hosts=("api.wandb.ai",), sends=FREE),
    "send numbers to the archive": Call("predict", U | P, hosts=(SINK,), sends=TYPED),
    "send free text to the archive": Call("predict", U | P, hosts=(SINK,), sends=FREE),
    "overwrite what another made": Call("merge", U, loses=True),
}
VERBS = frozenset({call.verb for call in CALLS.values()} | {"finetune", "load"})


@cache
def policy_for_search(name: str) -> Policy:
    """Return a policy that comes with biofm, with hosts and a sink for every call."""
    text = shipped_text(name).decode()
    start, end = text.index("hosts:"), text.index("models:")
    found = read_policy((text[:start] + FULL_HOSTS + text[end:]).encode(), name)
    assert isinstance(found, Policy), found
    return replace(found, confinement="notice", models="any")


@dataclass(slots=True)
class Search:
    """Searches all states that calls can reach.

    Attributes:
        policy: The policy that judges.
        made: An existing file, which stands for what the calls make.
        n_sessions: How many sessions each holder begins at most.
        n_within: How many sessions it begins within each of these at most, and ends without a person.
        calls: The names of the calls that are tried.
        with_approvals: Whether persons approve requests, and time passes.
        with_resets: Whether persons end all sessions of a holder, who then counts as having touched nothing.
        is_exact: Whether states differ by which session has which label. If not, they differ by the labels of
            each holder together and the number of its sessions, which is all that the gate asks for.
        n_states: How many states were found.
        n_transitions: How many calls were judged.
        violations: The sequences that break a rule, as texts; the search ends at the first.
    """

    policy: Policy
    made: Path
    n_sessions: int = 1
    n_within: int = 0
    calls: Sequence[str] = tuple(CALLS)
    with_approvals: bool = True
    with_resets: bool = False
    is_exact: bool = True
    n_states: int = 0
    n_transitions: int = 0
    violations: list[str] = field(default_factory=list)
    _seen: set[Any] = field(default_factory=set)
    _requests: dict[tuple[str, str], tuple[Request, Evidence]] = field(default_factory=dict)

    def run(self) -> "Search":
        """Search from the state in which nothing has happened."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.execute("BEGIN")
        segments.start(connection, Path("search"))
        book = Book(connection, Path("search"), None)
        self._visit(connection, book, _Truth(), ())
        connection.close()
        return self

    def _visit(
        self, connection: sqlite3.Connection, book: Book, truth: "_Truth", path: tuple[str, ...]
    ) -> None:
        key = (truth.key(), _tables(connection, is_exact=self.is_exact))
        if key in self._seen:
            return
        self._seen.add(key)
        self.n_states += 1
        for name, act in self._actions(book, truth):
            connection.execute("SAVEPOINT step")
            after = act()
            self.n_transitions += 1
            if after is not None:
                if after.fault:
                    self.violations.append(" -> ".join([*path, name, after.fault]))
                self._visit(connection, book, after, (*path, name))
            connection.execute("ROLLBACK TO step")
            connection.execute("RELEASE step")
            if self.violations:
                return

    def _actions(self, book: Book, truth: "_Truth") -> Iterator[tuple[str, Any]]:
        sessions = {who: [one for one in book.sessions(_holder(who)) if one] for who in WHO}
        for who in WHO:
            handles = [NO_SESSION, *sessions[who], *sessions[WHO[1 - WHO.index(who)]][:1]]
            for name in self.calls:
                for handle in handles:
                    label = f"{who}: {name}" + (" (session)" if handle else "")
                    yield label, lambda w=who, n=name, h=handle: self._call(book, truth, w, n, h)
                if self.with_approvals and truth.n_approved < MOST_APPROVALS and CALLS[name].hosts:
                    yield (
                        f"a person approves {name} of {who}",
                        lambda w=who, n=name: self._approve(book, truth, w, n),
                    )
            yield from self._session_actions(book, truth, who, sessions[who])
        if self.with_approvals and truth.now_s == 0 and truth.n_approved:
            yield "time passes", lambda: replace(truth, now_s=VALID_S + 1)

    def _session_actions(
        self, book: Book, truth: "_Truth", who: str, sessions: Sequence[str]
    ) -> Iterator[tuple[str, Any]]:
        outer = [one for one in sessions if not parent_of(one)]
        if len(outer) < self.n_sessions:
            yield f"{who} begins a session", lambda: self._begin(book, truth, who)
        for one in outer:
            within = [child for child in sessions if parent_of(child) == one]
            if len(within) < self.n_within:
                yield f"{who} begins a session within", lambda p=one: self._begin(book, truth, who, p)
            for child in within:
                yield f"{who} ends a session within", lambda c=child: self._end(book, truth, who, c)
        if self.with_resets and book.sessions(_holder(who)):
            yield f"a person ends all sessions of {who}", lambda: self._reset(book, truth, who)

    def _begin(self, book: Book, truth: "_Truth", who: str, parent: str = NO_SESSION) -> "_Truth":
        book.open_session(_holder(who), parent)
        return truth

    def _end(self, book: Book, truth: "_Truth", who: str, session: str) -> "_Truth":
        book.close_session(_holder(who), session)
        return truth

    def _reset(self, book: Book, truth: "_Truth", who: str) -> "_Truth":
        book.close_all(_holder(who))
        first, second = (NONE if one == who else truth.touched[WHO.index(one)] for one in WHO)
        return replace(truth, touched=(first, second))

    def _approve(self, book: Book, truth: "_Truth", who: str, name: str) -> "_Truth":
        request, _ = self._asked(who, name)
        book.note_approval(digest_of(request), _holder(who), truth.now_s + VALID_S)
        given = who, name, truth.now_s + VALID_S
        return replace(truth, approvals=(*truth.approvals, given), n_approved=truth.n_approved + 1)

    def _call(self, book: Book, truth: "_Truth", who: str, name: str, handle: str) -> "_Truth | None":
        request, evidence = self._asked(who, name)
        judgement = judge_in(book, request, evidence, [self.policy], session=handle, now_s=truth.now_s)
        if judgement.verdict.decision is not Decision.ALLOW:
            return None
        if CALLS[name].makes:
            note_outputs(book, request, judgement)
        return truth.after(who, name, self.policy)

    def _asked(self, who: str, name: str) -> tuple[Request, Evidence]:
        """Return the request of a call and what the gate would find out about it."""
        if (who, name) not in self._requests:
            self._requests[who, name] = _request(who, name, self.made)
        return self._requests[who, name]


WHO = ("anna", "bert")


@cache
def _principal(who: str) -> Principal:
    return Principal(kind="person", name=who)


@cache
def _holder(who: str) -> str:
    return holder_of(_principal(who))


def _request(who: str, name: str, made: Path) -> tuple[Request, Evidence]:
    call = CALLS[name]
    reads: dict[str, tuple[Path, ...]] = {}
    inputs: dict[str, Labels] = {}
    if call.reads:
        reads["input"], inputs["input"] = (Path(f"/nowhere/{name}"),), call.reads
    if call.reads_made:
        reads["made"], inputs["made"] = (made,), U
    request = Request(
        verb=call.verb, verbs=VERBS, principal=_principal(who), options={"call": name}, reads=reads,
        writes={"output": Target(path=made)} if call.makes else {}, hosts=call.hosts, sends=call.sends,
        code=("a.pt2",) if call.code else (), device="", model="", once=frozenset(),
    )  # fmt: skip
    lost = (Alteration(path=Path("/nowhere/theirs"), what="overwrites", maker="account"),)
    evidence = Evidence(
        held=Labels.NONE, inputs=inputs, alters=lost if call.loses else (), outside=(),
        approval=Approval.NONE, is_confined=True, models=Models.NONE, screening=Screening.SKIP,
    )  # fmt: skip
    return request, evidence


@dataclass(frozen=True, slots=True)
class _Truth:
    """Holds what really happened, which no guard of the gate can forget."""

    touched: tuple[Labels, Labels] = (Labels.NONE, Labels.NONE)
    made: Labels | None = None  # of the file that calls make; None as long as none did
    approvals: tuple[tuple[str, str, int], ...] = ()  # who, call and end of each that is not used
    n_approved: int = 0  # how many approvals were given
    now_s: int = 0
    fault: str = ""

    def key(self) -> Any:
        """Return what tells this state from others."""
        return self.touched, self.made, tuple(sorted(self.approvals)), self.n_approved, self.now_s

    def after(self, who: str, name: str, policy: Policy) -> "_Truth":
        """Return the state after an allowed call, and whether the call broke a rule."""
        call, mine = CALLS[name], WHO.index(who)
        brings = call.reads
        if call.reads_made:
            brings |= U if self.made is None else self.made
        brings |= X if call.code else Labels.NONE
        is_external = bool(call.hosts) or (call.loses and policy.own_files == "counted")
        brings |= E if is_external else Labels.NONE
        before = self.touched[mine]
        has = before | brings
        touched = tuple(has if number == mine else one for number, one in enumerate(self.touched))
        is_judged = is_external or (policy.judges == "completing" and (U | P | E) not in before)
        is_typed = call.hosts == (SINK,) and call.sends <= TYPED
        approvals, fault = self.approvals, ""
        if (P | X | E) in has:
            fault = "P + X + E"
        elif (U | P | E) in has and is_judged and not is_typed:
            live = [one for one in approvals if one[:2] == (who, name) and self.now_s < one[2]]
            if not live:
                fault = "U + P + E without an approval"
            else:
                approvals = tuple(one for one in approvals if one is not min(live, key=lambda one: one[2]))
        made = (self.made or Labels.NONE) | call.reads if call.makes else self.made
        return replace(self, touched=touched, made=made, approvals=approvals, fault=fault)  # type: ignore[arg-type]


def _tables(connection: sqlite3.Connection, *, is_exact: bool) -> Any:
    """Return the side tables without the numbers of entries and the names of sessions.

    If they need not be exact, the labels of a holder count together, as ``Book.held`` unites them, and which
    of its sessions brought them is left out.
    """
    rows = connection.execute("SELECT holder, session, labels FROM holders WHERE closed_seq = 0").fetchall()
    sessions: list[Any]
    if is_exact:
        sessions = [
            (holder, session != NO_SESSION, labels, _labels_within(rows, holder, session))
            for holder, session, labels in rows
            if not parent_of(session)
        ]
    else:
        united: dict[str, tuple[int, int, int]] = {}
        for holder, session, labels in rows:
            n_outer, n_within, held = united.get(holder, (0, 0, 0))
            is_within = bool(parent_of(session))
            is_outer = session != NO_SESSION and not is_within
            united[holder] = n_outer + is_outer, n_within + is_within, held | labels
        sessions = list(united.items())
    query = "SELECT request_hash, holder, expires, used <> 0 FROM approvals"
    approvals = connection.execute(query).fetchall()
    made = connection.execute("SELECT labels FROM outputs").fetchall()
    return tuple(sorted(sessions)), tuple(sorted(approvals)), tuple(sorted(made))


def _labels_within(rows: list[tuple[str, str, int]], holder: str, session: str) -> tuple[int, ...]:
    """Return the labels of the sessions within one of a holder."""
    within = (labels for who, one, labels in rows if who == holder and session and parent_of(one) == session)
    return tuple(sorted(within))


def existing_file(folder: Path) -> Path:
    """Return a new file in a folder, which stands for what calls make."""
    path = folder / "made.h5ad"
    path.write_bytes(os.urandom(8))
    return path
