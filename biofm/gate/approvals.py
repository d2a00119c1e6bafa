"""Approvals are given by a person at the terminal, each for one request, once, and for a time.

The question goes to the terminal that controls this process, not to standard input, which a program may feed.
Where there is no terminal, nobody can be asked. A process of the same account that may open a terminal can
answer as the person; so an agent needs an account of its own.
"""

import io
import os
import sys
from contextlib import closing
from typing import BinaryIO, TextIO, cast

from biofm.core.text import shown
from biofm.policy import AGENT, Plain, Principal, Request, Verdict

if sys.platform != "win32":
    import termios

TERMINAL = "/dev/tty"
LOGIN, NO_LOGIN = "/proc/self/loginuid", 2**32 - 1
UNKNOWN = -1
"""The number of an account that the system does not say."""
YES = "yes"
MOST_SHOWN = 20
LONGEST_SHOWN = 200
LONGEST_ANSWER = 100


def ask_person(request: Request, verdict: Verdict, digest: str, seconds: int) -> bool | None:
    """Ask the person at the terminal whether a request may run, and return the answer.

    It is None where there is no terminal, or nobody at it who may answer.

    Args:
        request: The request.
        verdict: The verdict, which says why a person has to be asked.
        digest: The hash of exactly this request.
        seconds: How long an approval holds.
    """
    terminal = _terminal_of(request.principal)
    if terminal is None:
        return None
    with closing(terminal):
        lines = [*_described(request), f"asked because: {verdict.reason} (rule {verdict.rule!r})"]
        for line in lines:
            print(f"  {shown(line)}", file=terminal)
        forget_typed(terminal)
        question = (
            f"Allow exactly this request {digest[:12]} once, within {seconds} s? Type {YES} to allow it: "
        )
        print(question, end="", file=terminal, flush=True)
        return terminal.readline(LONGEST_ANSWER).strip() == YES


def confirm(question: str, principal: Principal) -> bool | None:
    """Ask the person at the terminal to confirm something, and return the answer.

    It is None where there is no terminal, or nobody at it who may answer.

    Args:
        question: What is asked, as a sentence.
        principal: In whose name it would be done.
    """
    terminal = _terminal_of(principal)
    if terminal is None:
        return None
    with closing(terminal):
        forget_typed(terminal)
        print(f"{shown(question)} Type {YES} to confirm it: ", end="", file=terminal, flush=True)
        return terminal.readline(LONGEST_ANSWER).strip() == YES


def forget_typed(terminal: TextIO) -> None:
    """Drop what was typed or pasted before a question was asked: it is no answer.

    Args:
        terminal: The terminal.
    """
    if sys.platform != "win32":
        termios.tcflush(terminal.fileno(), termios.TCIFLUSH)


def login_account() -> int:
    """Return the number of the account that logged in at this terminal, or ``UNKNOWN``.

    Linux keeps it through ``su`` and ``sudo``.
    """
    try:
        with open(LOGIN, encoding="ascii") as file:
            number = int(file.read())
    except (OSError, ValueError):
        return UNKNOWN
    return UNKNOWN if number == NO_LOGIN else number


def open_terminal() -> TextIO | None:
    """Open the terminal that controls this process, for questions and answers; None if there is none."""
    if sys.platform == "win32":
        return None
    try:
        number = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    if not os.isatty(number):
        os.close(number)
        return None
    # A terminal cannot seek, which a buffered file that is read and written would have to.
    raw = cast(BinaryIO, io.FileIO(number, "w+"))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True)


def _terminal_of(principal: Principal) -> TextIO | None:
    """Open the terminal, if whoever is at it may answer for a principal.

    An agent could answer itself at a terminal that it opens. The account that logged in there, which an
    ordinary process cannot change, tells the agent from a person who became it by ``su`` or ``sudo``.
    """
    if principal.kind == AGENT and login_account() in (UNKNOWN, os.getuid()):
        return None
    return open_terminal()


def _described(request: Request) -> list[str]:
    """Return what a request does, in lines for a person."""
    lines = [f"{request.principal.name} asks for: {request.verb}"]
    for role, paths in request.reads.items():
        places = [os.path.abspath(path) for path in paths]
        lines += [f"reads ({role}): {place}" for place in places[:MOST_SHOWN]]
        if more := places[MOST_SHOWN:]:
            lines.append(f"reads ({role}): {len(more):,} more files, all below {os.path.commonpath(more)}")
    for role, target in request.writes.items():
        verb = "overwrites" if target.overwrite else "writes"
        lines.append(f"{verb} ({role}): {os.path.abspath(target.path)}")
    if options := [f"{name}={_in_short(value)}" for name, value in request.options.items() if value]:
        lines.append(f"with: {', '.join(options)}")
    if request.model:
        lines.append(f"model: {request.model}")
    if request.device:
        lines.append(f"device: {request.device}")
    if request.hosts:
        sent = ", ".join(sorted(one.value for one in request.sends))
        lines.append(f"contacts: {', '.join(request.hosts)} (may send: {sent.replace('free', 'free text')})")
    if request.code:
        lines.append(f"runs: {', '.join(request.code)}")
    return lines


def _in_short(value: Plain) -> str:
    """Return the value of an option, of which a person sees the start and the length if it is long."""
    text = str(value)
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{text[:LONGEST_SHOWN]}... ({len(text):,} characters in all)"
