"""Requests to the gate say who asks, which verb, and what it reads and writes, and the hosts it contacts.

A request is immutable, so that the gate opens exactly what the policy has judged. A wrong type raises
``ValueError`` instead of failing an ``assert``, because safety checks must also work under ``python -O``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Plain = str | int | float | bool | None | tuple["Plain", ...]
"""A value that JSON can hold; its numbers are finite."""
ESTIMATE = "estimate"
"""The verb of a request that asks what another verb needs, without running it."""
UNFINISHED = ("scratch", "temporary", "journal")
"""The kinds of targets that are work in progress, from which the outputs are made."""
TargetKind = Literal["file", "stream", "directory", "scratch", "temporary", "journal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Says who asks.

    Attributes:
        kind: The kind of the asker, such as "person". The policy refuses kinds that it does not know.
        name: The name of the account.
    """

    kind: str
    name: str

    def __post_init__(self) -> None:
        _require(bool(self.kind), "a principal needs a kind")
        _require(bool(self.name), "a principal needs a name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Says what is to be written.

    Attributes:
        path: The file or folder.
        kind: A "file"; a "stream", which is standard output; a "directory" to write into; "scratch", a folder
            of unfinished work that is removed if the request succeeds and kept if it fails; "temporary", a
            folder that is removed in both cases; or a "journal", unfinished work that becomes the file
            ``path``.
        overwrite: Whether the request may replace a file, write into a folder that holds files, or discard
            unfinished work.
        resume: Whether the request may continue unfinished work. This overrides ``overwrite``.
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
    """Asks the policy to allow one action.

    Attributes:
        verb: The action.
        verbs: All declared verbs. The policy refuses a verb that is not among them.
        principal: Who asks.
        options: The options of the verb, by their declared names.
        reads: The files that are read, by role, such as "input". The permit gives them under the same roles.
            ``Path("-")`` is standard input.
        writes: The targets that are written, by role, such as "output".
        hosts: Names of the hosts to contact, or ``*.`` followed by the end of host names.
        model: The name or path of the model, only for the ledger. The model's files are among ``reads``.
        once: The roles whose files are read once, from the first byte to the last. They may be pipes.
    """

    verb: str
    verbs: frozenset[str]
    principal: Principal
    options: Mapping[str, Plain]
    reads: Mapping[str, tuple[Path, ...]]
    writes: Mapping[str, Target]
    hosts: tuple[str, ...] = ()
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
        _require(isinstance(self.hosts, tuple), f"hosts are a tuple of host names, not {self.hosts!r}")
        # Read-only copies are kept, because the caller's dictionaries may change after the verdict.
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        object.__setattr__(self, "reads", MappingProxyType(dict(self.reads)))
        object.__setattr__(self, "writes", MappingProxyType(dict(self.writes)))


def is_plain(value: object) -> bool:
    """Return whether a value can be an option of a request.

    Args:
        value: Any object.
    """
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int | bool)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
