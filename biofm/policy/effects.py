"""Effects are what an option of a verb may do to the world. Every option names its effects from this list.

An option that reads or writes files names their role, under which the permit gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

from biofm.policy.requests import Content

Host = NewType("Host", str)
"""The type of an option that names a machine to connect to."""
Code = NewType("Code", str)
"""The type of an option that is a program, or names one to run."""


@dataclass(frozen=True, slots=True)
class _Touched:
    """Names the role, or the purpose, of what an option reads, writes or uses."""

    role: str


@dataclass(frozen=True, slots=True)
class Reads(_Touched):
    """Says that the option names files that are read.

    Attributes:
        once: Whether each file is read a single time, from the first byte to the last. It may then be
            standard input or a named pipe.
    """

    once: bool = False


class Writes(_Touched):
    """Says that the option names a file or folder that is written, with the files that stand beside it."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ConnectsTo(_Touched):
    """Says that the option makes biofm connect to other machines, such as the hub of models.

    Attributes:
        sends: What is sent there. By default it may be anything.
    """

    sends: frozenset[Content] = frozenset({Content.FREE})


@dataclass(frozen=True, slots=True)
class RunsCode(_Touched):
    """Says that the option makes biofm run a program that is not part of biofm.

    Attributes:
        of_caller: Whether the caller gives the program. If not, it is a tool that biofm's own verb looks for,
            such as MMseqs2.
    """

    of_caller: bool = True


class UsesDevice(_Touched):
    """Says that the option chooses a processor or an instrument."""

    __slots__ = ()


class NoEffect:
    """Says that the option only changes numbers, or how the files of another option are treated."""

    __slots__ = ()


NONE = NoEffect()
Effect = Reads | Writes | ConnectsTo | RunsCode | UsesDevice | NoEffect

OWED: Mapping[object, tuple[type[Effect], ...]] = {
    Path: (Reads, Writes),
    Host: (ConnectsTo,),
    Code: (RunsCode,),
}
"""The types of options that must name an effect, each with the effects from which it must name one."""
