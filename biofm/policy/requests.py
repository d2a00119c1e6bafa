"""What is asked of the gate: who asks, which verb, what is read, written and contacted, with which model.

A request is closed and immutable: what the policy judged is what the gate opens. One that does not fit its
type is a ``ValueError``, not an ``assert``, because a check of the safety layer must also stand under
``python -O``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Plain = str | int | float | bool | None | tuple["Plain", ...]
"""A value that can be written down as it is: its numbers are finite, as those of JSON are."""
ESTIMATE = "estimate"
"""The verb of a request that asks what another verb would take."""
UNFINISHED = ("scratch", "temporary", "journal")
"""Kinds of targets that are work in progress, of which the outputs are made."""
TargetKind = Literal["file", "stream", "directory", "scratch", "temporary", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks.

    ``kind`` is an open set of words: the policy knows some and refuses the others. ``name`` is the account's.
    """

    kind: str
    name: str

    def __post_init__(self) -> None:
        _require(bool(self.kind), "a principal needs a kind")
        _require(bool(self.name), "a principal needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is to be written.

    ``kind``: a "file"; a "stream", which is standard output; a "directory" to write into; "scratch", a folder
    of unfinished work that ends with the request and outlives a fault; "temporary", one that does not; a
    "journal", such work that becomes a file of its own. ``overwrite`` permits replacing a file,
    writing into a folder with files, and giving up unfinished work; ``resume`` permits going on with it, and
    then counts more.
    """

    path: Path
    kind: TargetKind = "file"
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        _require(isinstance(self.path, Path), f"a target's path is a Path, not {self.path!r}")
        kinds = get_args(TargetKind)
        _require(self.kind in kinds, f"a target is one of {', '.join(kinds)}, not {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One action.

    ``verbs`` are all that are declared: one that is not among them is refused. ``options`` are what the verb
    was asked with, by their declared names. The keys of ``reads`` and ``writes`` are roles ("input",
    "output"), by which the permit gives out the files. ``Path("-")`` among the reads is standard input.
    ``contacts`` are host names, or ``*.`` and the end of such. ``model`` is a name or a path, kept for the
    record only: a model's files are reads like any others. ``once`` are the roles whose files are read from
    the first byte to the last, once, so that they may come through a pipe.
    """

    verb: str
    verbs: frozenset[str]
    principal: Principal
    options: Mapping[str, Plain]
    reads: Mapping[str, tuple[Path, ...]]
    writes: Mapping[str, Target]
    contacts: tuple[str, ...] = ()
    model: str = ""
    once: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        _require(bool(self.verb), "a request needs a verb")
        _require(isinstance(self.verbs, frozenset), f"the declared verbs are a frozenset, not {self.verbs!r}")
        _require(isinstance(self.once, frozenset), f"the roles read once are a frozenset, not {self.once!r}")
        for name, value in self.options.items():
            _require(isinstance(name, str), f"the name of an option is a str, not {name!r}")
            _require(is_plain(value), f"the option {name!r} is a plain value, not {value!r}")
        _require(isinstance(self.model, str), f"the name of a model is a str, not {self.model!r}")
        for role, paths in self.reads.items():
            _require(isinstance(paths, tuple), f"the reads of {role!r} are a tuple of Paths, not {paths!r}")
            for path in paths:
                _require(isinstance(path, Path), f"the reads of {role!r} are Paths, not {path!r}")
        for role, target in self.writes.items():
            _require(isinstance(target, Target), f"the write of {role!r} is a Target, not {target!r}")
        _require(
            isinstance(self.contacts, tuple), f"contacts are a tuple of host names, not {self.contacts!r}"
        )
        # Copied behind a read-only view: the caller's dictionaries may change after the verdict.
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        object.__setattr__(self, "reads", MappingProxyType(dict(self.reads)))
        object.__setattr__(self, "writes", MappingProxyType(dict(self.writes)))


def is_plain(value: object) -> bool:
    """Whether a value can be an option of a request."""
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int | bool)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
