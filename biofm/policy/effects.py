"""What an option of a verb has an effect on. The list is closed, and every option names what it touches.

An option that reads or writes files says in which role, under which the permit then holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

Host = NewType("Host", str)
"""The type of an option that names a machine to talk to."""
Code = NewType("Code", str)
"""The type of an option that is a program, or names one to run."""


@dataclass(frozen=True, slots=True)
class _Touched:
    role: str


@dataclass(frozen=True, slots=True)
class Reads(_Touched):
    """Files are read in this role. ``once``: from the first byte to the last and never again, so that they
    may come through standard input or a named pipe.
    """

    once: bool = False


class Writes(_Touched):
    """A file or a folder is written in this role, and what stands beside it."""

    __slots__ = ()


class Contacts(_Touched):
    """Other machines are talked to for this purpose, such as the hub of models."""

    __slots__ = ()


class RunsCode(_Touched):
    """A program that is no part of biofm is run for this purpose."""

    __slots__ = ()


class UsesDevice(_Touched):
    """A processor or an instrument is used for this purpose."""

    __slots__ = ()


class NoEffect:
    """Only numbers change, and what becomes of files that another option names."""

    __slots__ = ()


NONE = NoEffect()
Effect = Reads | Writes | Contacts | RunsCode | UsesDevice | NoEffect

OWED: Mapping[object, tuple[type[Effect], ...]] = {
    Path: (Reads, Writes),
    Host: (Contacts,),
    Code: (RunsCode,),
}
"""An option of one of these types has to name one of these effects: it cannot be without."""
