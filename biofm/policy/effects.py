"""The effects that an option of a verb may have. The list is closed, and every option names its effects.

An option that reads or writes files names their role, by which the permit hands them out.
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
    """The option names files that are read in this role. ``once``: each is read a single time from the first
    byte to the last, so that it may come through standard input or a named pipe.
    """

    once: bool = False


class Writes(_Touched):
    """The option names a file or a folder that is written in this role, with what stands beside it."""

    __slots__ = ()


class Contacts(_Touched):
    """Because of the option other machines are contacted for this purpose, such as the hub of models."""

    __slots__ = ()


class RunsCode(_Touched):
    """Because of the option a program that is no part of biofm is run for this purpose."""

    __slots__ = ()


class UsesDevice(_Touched):
    """The option says which processor or instrument is used for this purpose."""

    __slots__ = ()


class NoEffect:
    """The option changes only numbers, or how files that another option names are treated."""

    __slots__ = ()


NONE = NoEffect()
Effect = Reads | Writes | Contacts | RunsCode | UsesDevice | NoEffect

OWED: Mapping[object, tuple[type[Effect], ...]] = {
    Path: (Reads, Writes),
    Host: (Contacts,),
    Code: (RunsCode,),
}
"""The types of options that must name an effect, each with the effects of which it must name one."""
