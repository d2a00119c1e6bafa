"""What is asked of the gate: who asks, which verb, what is read, written and contacted, with which model.

A request is closed and immutable: what the policy judged is what the gate opens. One that does not fit its
type is a ``ValueError``, not an ``assert``, because a check of the safety layer must also stand under
``python -O``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

Verb = Literal[
    "contacts",
    "describe",
    "embed",
    "estimate",
    "evaluate",
    "fetch",
    "finetune",
    "load",
    "merge",
    "neighbours",
    "perplexity",
    "predict",
    "prepare",
    "pretrain",
    "save",
    "score",
]
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

    The keys of ``reads`` and ``writes`` are roles ("input", "output"), by which the permit gives out the
    files. ``Path("-")`` among the reads is standard input. ``contacts`` are host names, or ``*.`` and the end
    of such. ``model`` is a name or a path, kept for the record only: a model's files are reads like any
    others.
    """

    verb: Verb
    principal: Principal
    reads: Mapping[str, tuple[Path, ...]]
    writes: Mapping[str, Target]
    contacts: tuple[str, ...] = ()
    model: str = ""

    def __post_init__(self) -> None:
        _require(
            self.verb in get_args(Verb), f"{self.verb!r} is not one of the verbs {', '.join(get_args(Verb))}"
        )
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
        object.__setattr__(self, "reads", MappingProxyType(dict(self.reads)))
        object.__setattr__(self, "writes", MappingProxyType(dict(self.writes)))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
